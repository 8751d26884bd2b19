//! A whole server and real programs: the harnesses of `sealpost-testkit` at the size that each change is judged by.
//! `cargo xtask soak` runs the same in full.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sealpost_testkit::{
    Dice, Ground,
    harness::{backup, bench, code, death, flips, kill, markers, mbsync, peers, people, store, yesterday},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

#[test]
fn nothing_is_lost_by_kills() -> Result<()> {
    show(kill::run(Path::new(PROGRAM), &Ground::embedded(), kill::Size::SMALL, Dice::from_env()))
}

#[test]
fn nothing_is_lost_by_kills_on_postgres() -> Result<()> {
    let size = kill::Size { messages: 500, connections: 12, kills: 6 };
    show(kill::run(Path::new(PROGRAM), &Ground::postgres()?, size, Dice::from_env()))
}

#[test]
fn nothing_is_in_the_clear_on_postgres() -> Result<()> {
    show(markers::run(Path::new(PROGRAM), &Ground::postgres()?, 2, Dice::from_env()))
}

#[test]
fn nothing_changes_unseen_on_postgres() -> Result<()> {
    show(flips::run(Path::new(PROGRAM), &Ground::postgres()?, 15, Dice::from_env()))
}

#[test]
fn nothing_is_in_the_clear() -> Result<()> {
    show(markers::run(Path::new(PROGRAM), &Ground::embedded(), 2, Dice::from_env()))
}

#[test]
fn nothing_changes_unseen() -> Result<()> {
    show(flips::run(Path::new(PROGRAM), &Ground::embedded(), 40, Dice::from_env()))
}

#[test]
fn real_hosts_get_it_encrypted_or_a_notice() -> Result<()> {
    show(peers::run(Path::new(PROGRAM), Dice::from_env()))
}

#[test]
fn the_code_is_a_gate() -> Result<()> {
    show(code::run(Path::new(PROGRAM), 200, Dice::from_env()))
}

#[test]
fn an_older_state_is_named() -> Result<()> {
    show(yesterday::run(Path::new(PROGRAM), Dice::from_env()))
}

#[test]
fn a_disaster_loses_nothing_that_was_kept() -> Result<()> {
    show(backup::run(Path::new(PROGRAM), backup::Size::SMALL, Dice::from_env()))
}

#[test]
fn keys_die_for_good() -> Result<()> {
    show(death::run(Path::new(PROGRAM), Dice::from_env()))
}

#[test]
fn mbsync_gets_back_what_it_put_in() -> Result<()> {
    show(mbsync::run(Path::new(PROGRAM), 1_000, Dice::from_env()))
}

#[test]
fn an_imap_library_gets_along() -> Result<()> {
    show(people::imap_library(Path::new(PROGRAM), &workspace("tests/python/imap_client.py")?))
}

#[test]
fn a_newcomer_sees_the_whole_loop() -> Result<()> {
    // target/debug/sealpost: screenshots lie beside what was built.
    let target = Path::new(PROGRAM).ancestors().nth(2).context("a target folder")?;
    let shots = target.join("screenshots");
    show(people::newcomers_loop(Path::new(PROGRAM), &workspace("tests/e2e/loop.mjs")?, &shots))
}

#[test]
fn the_bench_runs() -> Result<()> {
    let size = bench::Size { single: 20, many: 200, connections: 20, body: 1_000, inbound: false };
    show(bench::smtp(Path::new(PROGRAM), size))
}

#[test]
fn the_bench_of_the_store_runs() -> Result<()> {
    let size = store::Size { messages: 256, listed: 256, opened: 256 };
    show(store::run(&Ground::embedded(), size, Dice::from_env()))
}

#[expect(clippy::print_stdout, reason = "a harness's report belongs into the test's output")]
fn show(report: Result<String>) -> Result<()> {
    println!("{}", report?);
    Ok(())
}

fn workspace(path: &str) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the workspace")?;
    Ok(root.join(path))
}
