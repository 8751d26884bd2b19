//! Room on the disks of data and key ring.

use std::path::Path;

use super::{Findings, Scene};

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    for (of, path) in [("data", &config.server.data), ("ring", &config.keys.ring)] {
        space(of, path, found);
    }
    reserve(scene, found);
}

/// The reserve's file, and what the server does with the space that is left.
fn reserve(scene: &Scene<'_>, found: &mut Findings) {
    let data = &scene.config.server.data;
    let size = sealpost_store::reserve::fitting(data, scene.config.limits.disk_reserve);
    if size == 0 {
        return found.warn(
            "disk",
            "[limits] disk_reserve is 0, so that a full disk keeps everybody out",
            "leave the key out",
        );
    }
    let there = data.join("reserve").metadata().is_ok_and(|m| m.len() > 0);
    let free = rustix::fs::statvfs(data).map_or(0, |d| d.f_bavail.saturating_mul(d.f_frsize));
    match (there, scene.running) {
        (false, true) => found.fail(
            "disk",
            "the disk's reserve is spent: new mail waits until there is room for it",
            "free some space; the rest goes by itself",
        ),
        // The next start makes it.
        (false, false) => {}
        (true, _) if free < size => found.fail(
            "disk",
            format!("{} MiB are free, so that new mail is asked to come later", free >> 20),
            "free some space; the rest goes by itself",
        ),
        (true, _) => found.ok("disk", format!("{} MiB are kept back for when the disk is full", size >> 20)),
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
