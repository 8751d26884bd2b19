//! `cargo xtask fixture`: makes the data that later versions must read, by this version.
//!
//! Only for a format that was never released, or for a new one: what was released stays as it is.

use anyhow::Result;

use crate::shell::{cargo, run};

/// Makes `tests/fixtures/data-N.tar.gz` anew and reads it back.
pub fn make() -> Result<()> {
    println!("Data of a released version must never be made anew: a new format gets a new file.");
    let words = ["nextest", "run", "--locked", "-p", "sealpost", "--test", "upgrade"];
    run(cargo().args(words).env("UPDATE", "1"))
}
