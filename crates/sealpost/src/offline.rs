//! What an offline command leaves for the log.

use anyhow::{Context as _, Result};
use sealpost_audit::offline::{Act, leave as leave_in};

use crate::config::Config;
use crate::instance::Opened;

/// Leaves the entry that `command` was run by this user. A folder that can't be written to, as of a copy that is looked
/// into, is said on standard error, and no reason to show nothing.
///
/// # Errors
/// When it should have been written and was not.
pub async fn leave(config: &Config, opened: &Opened, command: &str, done: bool) -> Result<()> {
    let data = &config.server.data;
    if rustix::fs::access(data, rustix::fs::Access::WRITE_OK).is_err() {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "sealpost: {} can't be written to, so that the log does not hear of this command",
            data.display()
        );
        return Ok(());
    }
    let act = Act::new(opened.clock.now(), rustix::process::getuid().as_raw(), command);
    let act = if done { act } else { act.failed() };
    leave_in(data, &opened.keys, &opened.random, &act)
        .await
        .context("that this command was run could not be left for the log")
}
