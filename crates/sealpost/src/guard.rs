//! What the process asks of the kernel before it touches a key.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit};

/// No memory of ours ever reaches a disk as a core file, nobody but root reads it through `/proc` or a debugger (S81),
/// and no file is made for others to read. As many files may be open as the system allows.
pub fn raise() {
    // A limit of 0 alone does not stop a kernel that hands cores to a program.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    lock_memory();
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
}

/// Keeps keys out of the swap, where the process may lock memory without bounds (root, `LimitMEMLOCK=infinity`): with a
/// bound, an allocation past it would fail and end the server. Pages are locked as they are first touched.
fn lock_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    if getrlimit(Resource::Memlock).current.is_none() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}
