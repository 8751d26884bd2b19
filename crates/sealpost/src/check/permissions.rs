//! Who on this machine can reach what is secret.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Findings, Scene};

/// Modes. The master key's and the ring's are also looked at where they are opened.
pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let config = scene.config;
    let (data, ring) = (&config.server.data, &config.keys.ring);
    let master = config.master_file().unwrap_or_default();
    let pairs = crate::certificates::files::pairs(&config.tls).unwrap_or_default();
    let mut places = vec![
        ("data", data.as_path(), true),
        ("ring", ring.as_path(), true),
        ("master", master.as_path(), false),
    ];
    places.extend(pairs.iter().map(|pair| ("tls", pair.key.as_path(), false)));
    for (area, path, is_folder) in places {
        let name = path.display();
        match path.metadata() {
            // Said with the certificate.
            Err(_) if area == "tls" => {}
            Err(error) => found.fail(
                area,
                format!("{name} can't be used: {error}"),
                "put it there, or name the right place in the configuration",
            ),
            Ok(meta) if meta.is_dir() != is_folder => {
                let (is, must) = if is_folder { ("file", "folder") } else { ("folder", "file") };
                found.fail(
                    area,
                    format!("{name} is a {is} and must be a {must}"),
                    "name the right place in the configuration",
                );
            }
            // A group for keys is usual where another program renews the certificate.
            Ok(meta) if meta.permissions().mode() & if area == "tls" { 0o007 } else { 0o077 } != 0 => {
                let (mode, right) =
                    (meta.permissions().mode() & 0o777, if is_folder { "700" } else { "600" });
                found.fail(
                    area,
                    format!("{name} has mode {mode:04o}, so that others on this machine can reach it"),
                    format!("run `chmod {right} {name}`"),
                );
            }
            Ok(_) => found.ok(area, format!("{name} is for its owner alone")),
        }
    }
    if let (Ok(data_at), Ok(ring_at)) = (data.metadata(), ring.metadata())
        && data_at.dev() == ring_at.dev()
    {
        found.warn("ring", "data and key ring are on one disk", "take care that no backup holds both");
    }
    let stray = strays(data);
    if let Some(name) = stray.first() {
        found.warn(
            "data",
            format!("{name} ({} in all) in the data folder can be read by others", stray.len()),
            format!("run `chmod -R go= {}`", data.display()),
        );
    }
}

/// Files below the data folder that others may read or write.
fn strays(data: &Path) -> Vec<String> {
    let (mut folders, mut out) = (vec![data.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            }
            if !meta.is_symlink() && meta.permissions().mode() & 0o077 != 0 {
                out.push(entry.path().display().to_string());
            }
        }
    }
    out
}
