//! Real programs: run with a limit on their time, their output kept.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself if the program succeeded, else an error with all it said.
    pub fn ok(self) -> Result<Output> {
        if !self.status.success() {
            bail!("{}\n{}\n{}", self.status, self.text(), self.stderr);
        }
        Ok(self)
    }
}

/// Runs a command to its end with `input` on its standard input; after `limit` it is killed and that is an error.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let missing = || format!("{name} does not start; `cargo xtask setup` installs what the tests need");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(missing)?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = pipes else { bail!("{name}: no pipes") };
    let (status, (out, err)) = thread::scope(|scope| {
        // A program that ends without reading its input is no failure of ours.
        scope.spawn(move || stdin.write_all(input).is_ok());
        let out = scope.spawn(move || read(&mut stdout));
        let err = scope.spawn(move || read(&mut stderr));
        let status = wait(&mut child, limit).with_context(|| name.clone());
        (status, (out.join().unwrap_or_default(), err.join().unwrap_or_default()))
    });
    let stderr = String::from_utf8_lossy(&err).into_owned();
    match status {
        Ok(status) => Ok(Output { status, stdout: out, stderr }),
        Err(error) => Err(error.context(format!("{}\n{stderr}", String::from_utf8_lossy(&out)))),
    }
}

/// Waits for a child; one that is late is killed, which is an error.
pub fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    let (_silent, pause) = mpsc::channel::<()>();
    let mut step = Duration::from_millis(1);
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // Nobody sends: this only waits.
        let _ = pause.recv_timeout(step);
        step = (step * 2).min(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    bail!("did not end within {} s and was killed", limit.as_secs());
}

/// curl that trusts only `ca`, asks for silence and shows errors.
pub fn curl(ca: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--cacert"]).arg(ca);
    command
}

fn read(from: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    // What came before an error is still worth showing.
    let _ = from.read_to_end(&mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_output_and_status() -> Result<()> {
        let mut sort = Command::new("sort");
        assert_eq!(run(&mut sort, b"b\na\n", Duration::from_secs(20))?.ok()?.text(), "a\nb\n");
        let failed =
            run(Command::new("sh").args(["-c", "echo no >&2; exit 3"]), b"", Duration::from_secs(20))?;
        assert_eq!((failed.status.code(), failed.stderr.as_str()), (Some(3), "no\n"));
        assert!(failed.ok().is_err());
        Ok(())
    }

    #[test]
    fn ends_what_never_ends() {
        let late = run(Command::new("sleep").arg("600"), b"", Duration::from_millis(50));
        assert!(late.is_err_and(|error| format!("{error:#}").contains("was killed")));
        assert!(run(&mut Command::new("no-such-program"), b"", Duration::from_secs(1)).is_err());
    }
}
