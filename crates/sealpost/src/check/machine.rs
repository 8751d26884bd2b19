//! The machine itself: swap and core files, where keys could end up on a disk (S81); time zones; how many files may be
//! open.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::{Findings, Scene};

/// Open files below which a busy server runs dry: each connection is one, each pack that is read another.
const FILES: u64 = 8_192;

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    swap(found);
    cores(found);
    zones(found);
    files(found);
    shares(scene, found);
}

/// Memory is not locked: what is swapped out lies on a disk.
fn swap(found: &mut Findings) {
    let Ok(swaps) = std::fs::read_to_string("/proc/swaps") else { return };
    let open: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|device| !is_encrypted(Path::new(device)))
        .collect();
    if open.is_empty() {
        found.ok("swap", "there is no swap, or it is encrypted or in memory");
    } else {
        found.warn(
            "swap",
            format!("{} is swap without encryption, where keys may end up", open.join(", ")),
            "encrypt it (crypttab with a random key), use zram, or switch it off with `swapoff -a`",
        );
    }
}

/// Compressed memory, or a device of dm-crypt.
fn is_encrypted(device: &Path) -> bool {
    let real = device.canonicalize().unwrap_or_else(|_| device.to_owned());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let uuid = std::fs::read_to_string(format!("/sys/class/block/{name}/dm/uuid")).unwrap_or_default();
    name.starts_with("zram") || uuid.starts_with("CRYPT-")
}

/// Our own process writes none; a program that the kernel hands cores to is worth knowing all the same.
fn cores(found: &mut Findings) {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    match pattern.trim().strip_prefix('|').and_then(|words| words.split_whitespace().next()) {
        Some(program) => found.ok(
            "core",
            format!("Sealpost leaves no core files; those of other programs on this machine go to {program}"),
        ),
        None => found.ok("core", "Sealpost leaves no core files"),
    }
}

/// Days of retention and of reports are counted in the organisation's time zone.
fn zones(found: &mut Findings) {
    if Path::new("/usr/share/zoneinfo/Europe/London").exists() {
        found.ok("zones", "this machine knows the time zones");
    } else {
        found.warn(
            "zones",
            "this machine has no time zones; those built into the program are used, which age with it",
            "install tzdata",
        );
    }
}

fn files(found: &mut Findings) {
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < FILES => found.warn(
            "files",
            format!("at most {most} files may be open at once, too few for a busy server"),
            format!("set LimitNOFILE={FILES} or more for the service, or raise `ulimit -Hn`"),
        ),
        Some(most) => found.ok("files", format!("{most} files may be open at once")),
        None => found.ok("files", "any number of files may be open at once"),
    }
}

/// Parts of the recovery kit belong on paper, at different places.
fn shares(scene: &Scene<'_>, found: &mut Findings) {
    let folder = scene.config.file.with_file_name(crate::init::KIT);
    let left = folder.read_dir().map_or(0, |entries| entries.flatten().count());
    if left > 0 {
        found.warn(
            "recovery",
            format!("{left} parts of the recovery kit still lie together in {}", folder.display()),
            "give each to its keeper, then remove the folder",
        );
    }
}
