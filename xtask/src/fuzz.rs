//! `cargo xtask fuzz`: the targets of `fuzz/`, by cargo-fuzz.
//!
//! cargo-fuzz wants a nightly compiler; where there is none, the stable one is told to accept the same flags.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::{self, command};

/// What `fuzz` takes.
#[derive(clap::Args)]
pub struct Args {
    /// A target of fuzz/Cargo.toml; each in turn without a name
    target: Option<String>,
    /// Seconds a target
    #[arg(default_value_t = 60)]
    seconds: u32,
}

/// Fuzzes one target or all.
pub fn run(args: &Args) -> Result<()> {
    tool()?;
    let all = targets()?;
    match &args.target {
        Some(name) if !all.contains(name) => bail!("no target {name}; there are: {}", all.join(", ")),
        Some(name) => one(name, args.seconds),
        None => all.iter().try_for_each(|name| one(name, args.seconds)),
    }
}

/// All targets, sharing the minutes; what the soak page says of it.
pub fn soak(minutes: u32) -> Result<String> {
    tool()?;
    let all = targets()?;
    let seconds = minutes * 60 / u32::try_from(all.len().max(1))?;
    all.iter().try_for_each(|name| one(name, seconds))?;
    Ok(format!("{seconds} s each, nothing found: {}", all.join(", ")))
}

fn targets() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string("fuzz/Cargo.toml").context("fuzz/Cargo.toml")?.parse()?;
    let bins =
        manifest.get("bin").and_then(toml::Value::as_array).context("fuzz/Cargo.toml has no targets")?;
    Ok(bins.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned)).collect())
}

fn one(target: &str, seconds: u32) -> Result<()> {
    let mut fuzz = if shell::works(&["cargo", "+nightly", "--version"]) {
        command(&["cargo", "+nightly"])
    } else {
        let mut stable = command(&["cargo"]);
        stable.env("RUSTC_BOOTSTRAP", "1");
        stable
    };
    fuzz.args(["fuzz", "run", target]);
    // What tests already know is where the fuzzer starts; what it finds besides lies in the corpus, which is not kept.
    let corpus = format!("fuzz/corpus/{target}");
    fs::create_dir_all(&corpus)?;
    fuzz.arg(corpus);
    for entry in fs::read_dir("crates")? {
        let vectors = entry?.path().join("tests/vectors");
        if vectors.is_dir() {
            fuzz.arg(vectors);
        }
    }
    fuzz.args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=4096", "-max_len=65536"]);
    // Crates that bring SQLite along define one of its symbols twice, which is none of a codec's business.
    shell::run(fuzz.env("ASAN_OPTIONS", "detect_odr_violation=0"))
}

fn tool() -> Result<()> {
    if shell::works(&["cargo", "fuzz", "--version"]) {
        return Ok(());
    }
    println!("cargo-fuzz is missing: building it, once");
    shell::run(&mut command(&["cargo", "install", "--locked", "cargo-fuzz"]))
}
