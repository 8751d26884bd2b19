//! `sealpost check`: says what is wrong or missing, each in one sentence and with what to do about it.
//!
//! It needs no server and changes nothing; beside a running one it looks at the same data. What it can't look at
//! because something before it is broken is left out: put that right first.
//!
//! One file an area. A new area is a file with a function `check`, and one line in [`look`] (needs the configuration
//! alone) or [`look_inside`] (needs the opened data).

mod anchor;
mod backup;
mod blobs;
mod certificate;
mod configuration;
mod content;
mod database;
mod dns;
mod finding;
mod keys;
mod listen;
mod machine;
mod officials;
mod orders;
mod outbound;
mod passwords;
mod permissions;
mod reach;
mod space;

use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

pub use finding::{Findings, Severity};

use crate::Which;
use crate::config::Config;
use crate::instance::{Mode, Opened};

/// `check`'s options.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Also open every body and every sealed column. A small store (below 20,000 messages) always is.
    #[arg(long)]
    deep: bool,
    /// Also connect to a mail server of this domain, to see that port 25 is open on the way out. Nothing is said there.
    #[arg(long, value_name = "DOMAIN")]
    reach: Option<String>,
}

/// What every area is given.
pub struct Scene<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Whether a server answers at the control socket.
    pub running: bool,
    /// Whether everything is to be opened, however much it is.
    pub deep: bool,
    /// A domain whose mail server shall be reached.
    pub reach: Option<&'a str>,
}

/// The areas that need no more than the configuration, in the order in which they are shown.
async fn look(scene: &Scene<'_>, found: &mut Findings) {
    configuration::check(scene, found);
    certificate::check(scene, found);
    permissions::check(scene, found);
    space::check(scene, found);
    listen::check(scene, found);
    machine::check(scene, found);
    dns::check(scene, found).await;
    outbound::check(scene, found);
    reach::check(scene, found).await;
    passwords::check(scene, found);
}

/// The areas that look into the opened data. One that meets a row which is not what was written says so, and the others
/// are looked at all the same.
async fn look_inside(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) {
    let looked = database::check(scene, opened, found).await;
    found.looked("database", looked);
    let looked = anchor::check(scene, opened, found).await;
    found.looked("anchor", looked);
    let looked = orders::check(scene, opened, found).await;
    found.looked("certificate", looked);
    let looked = backup::check(scene, opened, found).await;
    found.looked("backup", looked);
    let looked = blobs::check(scene, opened, found).await;
    found.looked("bodies", looked);
    let looked = keys::check(scene, opened, found);
    found.looked("keys", looked);
    let looked = officials::check(scene, opened, found).await;
    found.looked("official", looked);
    let looked = content::check(scene, opened, found).await;
    found.looked("content", looked);
}

/// Looks, prints, and answers the exit status.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut found = Findings::default();
    match args.which.load() {
        Err(error) => found.broken("configuration", &error),
        Ok(config) => {
            found.ok("configuration", format!("{} is valid", config.file.display()));
            let running = UnixStream::connect(config.control_socket()).is_ok();
            let scene = Scene { config: &config, running, deep: args.deep, reach: args.reach.as_deref() };
            look(&scene, &mut found).await;
            match Opened::open(&config, Mode::Look).await {
                Err(error) => found.broken("data", &error),
                Ok(opened) => {
                    found.ok(
                        "data",
                        "the master key opens key ring and store, and every table's format is known",
                    );
                    look_inside(&scene, &opened, &mut found).await;
                }
            }
        }
    }
    print(&found, args.json)?;
    Ok(if found.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(found: &Findings, json: bool) -> Result<()> {
    if json {
        return crate::print(&format!("{}\n", json!({"ok": !found.failed(), "findings": found.all()})));
    }
    let mut out = String::new();
    for finding in found.all() {
        out += &format!("{finding}\n");
    }
    out += &match (found.count(Severity::Fail), found.count(Severity::Warn)) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, warnings) => format!("Nothing is wrong; {warnings} to look at.\n"),
        (wrong, warnings) => format!("{wrong} to put right, {warnings} to look at.\n"),
    };
    crate::print(&out)
}
