//! `cargo xtask package`: a Debian package of the release build, the same bytes each time.
//!
//! Line tables go into a file of their own beside the package, so that the program stays small and a backtrace can
//! still be read. What the program needs of the system is read from the program; nothing is guessed. `dpkg-deb` and
//! `objcopy` do the work; both are on every Debian machine with a C compiler.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    notices,
    shell::{self, cargo, command, output, run},
};

/// What `package` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Pack this program instead of building a release
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where to put the package
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How hard to compress: 0 to 9
    #[arg(long, default_value_t = 6)]
    compression: u8,
}

/// Files of the package: source in the repository, place in the package, mode.
const FILES: &[(&str, &str, u32)] = &[
    ("packaging/sealpost.service", "usr/lib/systemd/system/sealpost.service", 0o644),
    ("packaging/sysusers.conf", "usr/lib/sysusers.d/sealpost.conf", 0o644),
    ("packaging/tmpfiles.conf", "usr/lib/tmpfiles.d/sealpost.conf", 0o644),
    ("packaging/answers.toml", "usr/share/doc/sealpost/answers.example.toml", 0o644),
    ("docs/install.md", "usr/share/doc/sealpost/install.md", 0o644),
    ("docs/operating.md", "usr/share/doc/sealpost/operating.md", 0o644),
    ("docs/security.md", "usr/share/doc/sealpost/security.md", 0o644),
    ("docs/configuration.md", "usr/share/doc/sealpost/configuration.md", 0o644),
    ("docs/cli.md", "usr/share/doc/sealpost/cli.md", 0o644),
    ("CHANGELOG.md", "usr/share/doc/sealpost/CHANGELOG.md", 0o644),
    ("LICENSE-APACHE", "usr/share/doc/sealpost/LICENSE-APACHE", 0o644),
    ("LICENSE-MIT", "usr/share/doc/sealpost/LICENSE-MIT", 0o644),
    ("packaging/debian/postinst", "DEBIAN/postinst", 0o755),
    ("packaging/debian/prerm", "DEBIAN/prerm", 0o755),
    ("packaging/debian/postrm", "DEBIAN/postrm", 0o755),
];

/// Builds the package and says how large it is.
pub fn run_it(args: &Args) -> Result<()> {
    for tool in ["dpkg-deb", "objcopy", "objdump"] {
        if shell::find(tool).is_none() {
            bail!("{tool} is missing; install it with: apt-get install dpkg binutils");
        }
    }
    let program = match &args.program {
        Some(program) => program.clone(),
        None => {
            run(cargo().args(["build", "--release", "--locked", "-p", "sealpost"]))?;
            shell::target().join("release/sealpost")
        }
    };
    let out = args.out.clone().unwrap_or_else(|| shell::target().join("package"));
    fs::create_dir_all(&out)?;
    let stage = tempfile::tempdir_in(&out)?;
    // Any change of the folder's mode would be in the package.
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755))?;
    let root = stage.path();
    let version = version()?;
    let architecture = output(&mut command(&["dpkg", "--print-architecture"]))?.trim().to_owned();
    let name = format!("sealpost_{version}_{architecture}");

    let inside = root.join("usr/bin/sealpost");
    make(inside.parent().context("a folder")?)?;
    let debug = out.join(format!("{name}.debug"));
    strip(&program, &inside, &debug, args.compression > 0)?;
    for (from, to, mode) in FILES {
        put(root, to, &fs::read(from).with_context(|| format!("{from} can't be read"))?, *mode)?;
    }
    manual(&program, root)?;
    put(root, "usr/share/doc/sealpost/copyright", notices::copyright()?.as_bytes(), 0o644)?;
    let size = installed(root)?;
    let control = fs::read_to_string("packaging/debian/control.in")?
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@SIZE@", &size.div_ceil(1024).to_string())
        .replace("@DEPENDS@", &depends(&inside)?);
    put(root, "DEBIAN/control", control.as_bytes(), 0o644)?;
    put(root, "DEBIAN/md5sums", sums(root)?.as_bytes(), 0o644)?;

    let package = out.join(format!("{name}.deb"));
    let compression = format!("-z{}", args.compression);
    let mut deb = command(&["dpkg-deb", "--root-owner-group", "-Zxz", &compression, "--build"]);
    run(deb.arg(root).arg(&package).env("SOURCE_DATE_EPOCH", &changed()?))?;
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
    println!(
        "{}: {} KiB; the program in it {} KiB; line tables {}: {} KiB",
        package.display(),
        bytes(&package) >> 10,
        bytes(&inside) >> 10,
        debug.display(),
        bytes(&debug) >> 10
    );
    Ok(())
}

/// The workspace's version; a build between two releases says from which commit.
fn version() -> Result<String> {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml")?.parse()?;
    let version = manifest
        .get("workspace")
        .and_then(|w| w.get("package")?.get("version")?.as_str())
        .context("Cargo.toml names no version")?;
    Ok(version.to_owned())
}

/// The time of the last commit: what every file in the package is dated.
fn changed() -> Result<String> {
    Ok(output(&mut command(&["git", "log", "-1", "--format=%ct"]))?.trim().to_owned())
}

/// The program without symbols and line tables; those go into `debug`, which the program names.
fn strip(program: &Path, to: &Path, debug: &Path, small: bool) -> Result<()> {
    let mut keep = command(&["objcopy", "--only-keep-debug"]);
    keep.args(small.then_some("--compress-debug-sections"));
    run(keep.arg(program).arg(debug))?;
    run(command(&["objcopy", "--strip-all"])
        .arg(format!("--add-gnu-debuglink={}", debug.display()))
        .arg(program)
        .arg(to))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o755))?)
}

/// The man page and what shells complete, as the program itself prints them.
fn manual(program: &Path, root: &Path) -> Result<()> {
    let says = |words: &[&str]| output(std::process::Command::new(program).args(words));
    for (words, to) in [
        (["manual", "man"], "usr/share/man/man1/sealpost.1"),
        (["manual", "bash"], "usr/share/bash-completion/completions/sealpost"),
        (["manual", "zsh"], "usr/share/zsh/vendor-completions/_sealpost"),
        (["manual", "fish"], "usr/share/fish/vendor_completions.d/sealpost.fish"),
    ] {
        put(root, to, says(&words)?.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}

fn put(root: &Path, to: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let path = root.join(to);
    let mut folder = path.parent();
    while let Some(at) = folder.filter(|at| at.starts_with(root) && *at != root) {
        make(at)?;
        folder = at.parent();
    }
    fs::write(&path, bytes)?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
}

/// Bytes of all files outside of `DEBIAN`.
fn installed(root: &Path) -> Result<u64> {
    files(root)?.iter().map(|path| Ok(fs::metadata(root.join(path))?.len())).sum()
}

/// All files outside of `DEBIAN`, in order, as paths below `root`.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut all) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let inside = path.strip_prefix(root)?;
            if path.is_dir() && inside != Path::new("DEBIAN") {
                folders.push(path);
            } else if path.is_file() {
                all.push(inside.to_owned());
            }
        }
    }
    all.sort();
    Ok(all)
}

fn sums(root: &Path) -> Result<String> {
    let mut md5sum = command(&["md5sum", "--"]);
    output(md5sum.args(files(root)?).current_dir(root))
}

/// What the program needs of the system: its C library, no older than the newest symbol that it asks for.
fn depends(program: &Path) -> Result<String> {
    let headers = output(command(&["objdump", "-p"]).arg(program))?;
    let mut packages = BTreeSet::new();
    for line in headers.lines() {
        let mut words = line.split_whitespace();
        let (Some("NEEDED"), Some(library)) = (words.next(), words.next()) else { continue };
        packages.insert(match library {
            "libc.so.6" | "libm.so.6" | "libpthread.so.0" | "libdl.so.2" | "librt.so.1" => "libc6",
            "libgcc_s.so.1" => "libgcc-s1",
            name if name.starts_with("ld-linux") => "libc6",
            other => bail!("the program needs {other}: name its Debian package in xtask/src/package.rs"),
        });
    }
    let symbol = newest(&headers).context("the program asks for no version of the C library")?;
    let all = packages.into_iter().map(|package| match package {
        "libc6" => format!("libc6 (>= {symbol})"),
        other => other.to_owned(),
    });
    Ok(all.collect::<Vec<_>>().join(", "))
}

/// The newest `GLIBC_x.y` in `objdump -p`.
fn newest(headers: &str) -> Option<String> {
    let versions = headers.split_whitespace().filter_map(|word| {
        let (major, minor) = word.strip_prefix("GLIBC_")?.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    versions.max().map(|(major, minor)| format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_c_library_counts_by_number() {
        let headers =
            "  NEEDED libc.so.6\n 0x0 0x00 09 GLIBC_2.9\n 0x1 0x00 05 GLIBC_2.34\n 0x2 GLIBC_2.2.5\n";
        assert_eq!(newest(headers).as_deref(), Some("2.34"));
        assert_eq!(newest("nothing"), None);
    }
}
