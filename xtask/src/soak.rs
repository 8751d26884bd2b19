//! `cargo xtask soak`: the harnesses that the tests run small, at full size; the last result stands in `docs/soak.md`.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{fuzz, harness, packages, postgres::Postgres, shell};

/// What `soak` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Which one; all of them without a name
    #[arg(value_parser = NAMES)]
    name: Option<String>,
    /// How long one harness repeats itself, each time with a new seed
    #[arg(long)]
    minutes: Option<u32>,
}

const NAMES: [&str; 13] = [
    "kill",
    "kill-postgres",
    "markers",
    "markers-postgres",
    "flips",
    "flips-postgres",
    "yesterday",
    "backup",
    "death",
    "code",
    "peers",
    "mbsync",
    "fuzz",
];

/// Runs what was asked for and writes each result, a failure too.
pub fn run(args: &Args) -> Result<()> {
    packages::ensure()?;
    let mut failed = Vec::new();
    for name in NAMES.into_iter().filter(|name| args.name.as_deref().is_none_or(|wanted| wanted == *name)) {
        let start = Instant::now();
        let result =
            if name == "fuzz" { fuzz::soak(args.minutes.unwrap_or(5)) } else { one(name, args.minutes) };
        let (verdict, text) = match result {
            Ok(text) => ("passed", text),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        write(name, &format!("{verdict} after {} s", start.elapsed().as_secs()), &text)?;
        println!("{name}: {verdict}");
        if verdict == "FAILED" {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Repeats a harness until the minutes are over; at least once. Returns the last report.
fn one(name: &str, minutes: Option<u32>) -> Result<String> {
    let start = Instant::now();
    let mut command: Command = harness::build()?;
    let (name, on) = name.split_once('-').unwrap_or((name, "embedded"));
    let postgres = Postgres::start()?;
    command.env("SEALPOST_TEST_POSTGRES", postgres.connection());
    command.args(["--on", on, name, "--full"]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let mut runs = 0;
    loop {
        let out = command.output().context("can't run the harness")?;
        let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        println!("{text}");
        runs += 1;
        if !out.status.success() {
            bail!("run {runs} failed\n{text}");
        }
        if start.elapsed().as_secs() >= u64::from(minutes.unwrap_or(0)) * 60 {
            return Ok(format!("{text}\nruns: {runs}"));
        }
    }
}

/// Puts one harness's section into `docs/soak.md`, the others' as they were.
fn write(name: &str, verdict: &str, text: &str) -> Result<()> {
    let path = "docs/soak.md";
    let old = fs::read_to_string(path).unwrap_or_default();
    let day = shell::output(shell::command(&["date", "-u", "+%F"]).env("LC_ALL", "C"))?;
    let commit = shell::output(&mut shell::command(&["git", "describe", "--always", "--dirty"]))?;
    let section =
        format!("{} at {}: {verdict}\n\n```text\n{}\n```\n", day.trim(), commit.trim(), text.trim());
    Ok(fs::write(path, page(&old, name, &section))?)
}

fn page(old: &str, name: &str, section: &str) -> String {
    let parts = old.split("\n## ").skip(1).filter_map(|part| part.split_once("\n\n"));
    let mut sections: BTreeMap<&str, &str> = parts.collect();
    sections.insert(name, section);
    let mut page = HEAD.to_owned();
    for (name, text) in sections {
        page.push_str(&format!("\n## {name}\n\n{}\n", text.trim()));
    }
    page
}

const HEAD: &str = "# Soak\n\nThe last full-size run of each harness, written by `cargo xtask soak`. \
The tests run the same harnesses small. A seed repeats a run: `SEALPOST_SEED=N cargo xtask soak NAME`.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_its_own_section() {
        let one = page("", "kill", "first\n");
        let two = page(&one, "flips", "second\n\n```text\na\n\nb\n```\n");
        let three = page(&two, "kill", "third");
        assert!(
            three.starts_with("# Soak") && three.contains("\n## flips\n\nsecond\n\n```text\na\n\nb\n```\n")
        );
        assert!(three.contains("\n## kill\n\nthird\n") && !three.contains("first"));
        assert_eq!(page(&three, "kill", "third"), three);
    }
}
