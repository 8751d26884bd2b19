//! `sealpost audit export`: takes the lines from the server into a file.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::control::Reply;
use crate::control::audit::{Act, Ask};
use crate::control::client::{self, How};

/// Writes `FILE.part`, verifies it, and gives it its name. A connection that ends early leaves nothing behind.
pub fn run(ask: Ask, out: &Path, overwrite: bool, how: &How) -> Result<ExitCode> {
    if out.exists() && !overwrite {
        bail!("{} is there already and is not overwritten; give another name, or --overwrite", out.display());
    }
    let mut name = out.file_name().context("--out must name a file")?.to_owned();
    name.push(".part");
    let part = out.with_file_name(name);
    let (reply, rest) = client::send(how, Act::Export(ask).into())?;
    let entries = match reply {
        Reply::Follows { lines } => lines,
        Reply::Done { text, .. } => bail!("{}", text.trim_end()),
        Reply::Refused(words) => bail!("{words}"),
    };
    let done = take(rest, &part, entries).and_then(|()| {
        std::fs::rename(&part, out).with_context(|| format!("{} can't be written", out.display()))?;
        let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all().context("the folder can't be synced")
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    done?;
    let fingerprint = verify(out)?;
    let out = out.display();
    if how.json() {
        crate::print(&format!(
            "{}\n",
            json!({"file": out.to_string(), "entries": entries, "fingerprint": fingerprint})
        ))?;
    } else {
        crate::print(&format!("{out}: {entries} entries, verified. Key fingerprint {fingerprint}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn take(mut from: impl BufRead, part: &Path, entries: u64) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(part).with_context(|| format!("{} can't be written", part.display()))?;
    let (mut lines, mut line) = (0, Vec::new());
    let told = std::io::stderr().is_terminal();
    while from.read_until(b'\n', &mut line).context("the server ended before the export was whole")? > 0 {
        file.write_all(&line).with_context(|| format!("{} can't be written", part.display()))?;
        line.clear();
        lines += 1;
        if told && lines % 5_000 == 0 {
            let _ = write!(std::io::stderr(), "\r{lines} of {entries} entries");
        }
    }
    if told && entries >= 5_000 {
        let _ = writeln!(std::io::stderr());
    }
    file.sync_all()?;
    verify(part).map(drop)
}

/// An export that does not verify is none.
fn verify(file: &Path) -> Result<String> {
    let input = BufReader::with_capacity(1 << 16, File::open(file)?);
    let report = sealpost_audit::export::verify(input, None)?;
    if let Some(finding) = report.findings.first() {
        bail!("the export is not whole ({finding}); see the server's log, and run `sealpost audit verify`");
    }
    Ok(report.fingerprint)
}
