//! Room on the disks of data and key ring.

use std::path::Path;

use super::{Findings, Scene};

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    for (of, path) in [("data", &config.server.data), ("ring", &config.keys.ring)] {
        space(of, path, found);
    }
}

fn space(of: &'static str, path: &Path, found: &mut Findings) {
    let Ok(disk) = rustix::fs::statvfs(path) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let total = disk.f_blocks.saturating_mul(disk.f_frsize).max(1);
    let (gigabytes, percent) = (free >> 30, free.saturating_mul(100) / total);
    let what = format!("{gigabytes} GiB ({percent} %) are free under {} ({of})", path.display());
    if free < 200 << 20 {
        found.fail("disk", format!("{what}, and mail is refused when it is full"), "free some space now");
    } else if free < 2 << 30 || percent < 5 {
        found.warn("disk", what, "free some soon");
    } else {
        found.ok("disk", what);
    }
}
