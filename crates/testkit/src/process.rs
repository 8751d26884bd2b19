//! What the kernel says of a process, and signals to it by its id.

use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};

/// CPU time and written bytes of a process so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all its threads, in milliseconds (the kernel counts in steps of 10).
    pub cpu_ms: u64,
    /// Bytes that went to the block layer, or will (`write_bytes`).
    pub written: u64,
    /// Resident memory, in bytes.
    pub resident: u64,
}

impl Usage {
    /// Reads `/proc/PID/stat`, `io` and `statm`.
    pub fn of(pid: u32) -> io::Result<Usage> {
        let broken = || io::Error::other("/proc reads differently here");
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the program's name in brackets and may hold spaces: count after it.
        let (_, fields) = stat.rsplit_once(')').ok_or_else(broken)?;
        let fields: Vec<u64> = fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let ticks =
            fields.get(11).zip(fields.get(12)).map(|(user, system)| user + system).ok_or_else(broken)?;
        // A process that guards its memory shows this to root alone.
        let counts = match fs::read_to_string(format!("/proc/{pid}/io")) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "write_bytes: 0".into(),
            read => read?,
        };
        let written = counts.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        let pages = fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let pages: u64 =
            pages.split_whitespace().nth(1).and_then(|count| count.parse().ok()).ok_or_else(broken)?;
        Ok(Usage { cpu_ms: ticks * 10, written: written.ok_or_else(broken)?, resident: pages * 4096 })
    }

    /// What was used since `before`; resident memory as it is now.
    pub fn since(self, before: Usage) -> Usage {
        Usage { cpu_ms: self.cpu_ms - before.cpu_ms, written: self.written - before.written, ..self }
    }
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid =
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no such id"))?;
    Ok(kill_process(pid, signal)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_usage() {
        let usage = Usage::of(std::process::id()).expect("/proc is there");
        assert!(usage.resident > 100_000);
        assert_eq!(usage.since(usage).cpu_ms, 0);
    }
}
