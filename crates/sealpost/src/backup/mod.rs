//! `sealpost backup`: what a person does with sets, beside the server or without one.

mod restore;
mod run;
mod scratch;
mod show;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use sealpost_backup::{Header, Kind, Place, Schedule, place, sets_at};
use sealpost_model::{BackupId, Id as _};

use crate::config::Config;
use crate::control::client::How;

/// `sealpost backup ...`
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    how: How,
}

#[derive(Subcommand)]
enum Command {
    /// Has the server make a set now, and shows how far it is.
    Run {
        /// A weekly set instead of a daily one.
        #[arg(long)]
        weekly: bool,
    },
    /// What there is, where, from when, when one was last proved, and what comes next. Asks the server.
    Status,
    /// The sets that lie at the places of the configuration, or at another one. Needs no server.
    List {
        /// Another place.
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
    },
    /// Proves a set: brings it back into a scratch folder, opens every message, and holds hashes, flags, folders and the log
    /// against what was written. Needs no server, and runs beside one.
    Verify {
        #[command(flatten)]
        which: WhichSet,
        /// Where to bring it back; a new folder beside the data by default. It is removed afterwards.
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
    /// Brings a set back into an empty data folder. The server must not run. It goes on where it was cut off.
    Restore {
        #[command(flatten)]
        which: WhichSet,
        /// The key ring's backup that was made with the set, when the ring is lost too.
        #[arg(long, value_name = "FILE")]
        ring: Option<PathBuf>,
    },
}

/// Which set.
#[derive(clap::Args)]
pub(crate) struct WhichSet {
    /// Its id; the newest that there is by default.
    set: Option<i64>,
    /// The place where it lies; those of the configuration by default.
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
}

/// Carries a command out.
pub async fn run(args: Args) -> Result<ExitCode> {
    let Args { command, how } = args;
    match command {
        Command::Run { weekly } => run::run(&how, if weekly { Kind::Weekly } else { Kind::Daily }),
        Command::Status => show::status(&how),
        Command::List { from } => show::list(&how, from.as_deref()),
        Command::Verify { which, scratch } => verify::run(&how, &which, scratch).await,
        Command::Restore { which, ring } => restore::run(&how, &which, ring).await,
    }
}

/// What the service is told of the configuration.
pub fn options(config: &Config) -> Result<sealpost_backup::Options> {
    let own = &config.backup;
    let mut files = vec![("config/sealpost.toml".to_owned(), config.file.clone())];
    let named = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
    for (number, path) in config.tls.certificate.0.iter().chain(&config.tls.key.0).enumerate() {
        // Folders of certificates are whoever's who fills them.
        if path.is_file() {
            let name = named(path).unwrap_or_default();
            files.push((format!("config/tls/{number}-{name}"), path.clone()));
        }
    }
    Ok(sealpost_backup::Options {
        host: config.server.hostname.clone(),
        daily: own.daily.clone(),
        weekly: own.weekly.clone(),
        ring: own.ring.clone(),
        schedule: Schedule::new(&own.at, &own.on, &own.zone)?,
        max_rate: Some(own.max_rate),
        files,
    })
}

/// Whether `[backup]` can be right: places that are apart from the data, from each other, and from the keys.
pub fn check(config: &Config) -> Result<()> {
    let own = &config.backup;
    Schedule::new(&own.at, &own.on, &own.zone)?;
    let (data, ring) = (&config.server.data, &config.keys.ring);
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    let places = [("daily", &own.daily), ("weekly", &own.weekly)];
    let places = places.into_iter().filter_map(|(key, place)| Some((key, PathBuf::from(place.as_ref()?))));
    for (key, path) in places.chain(own.ring.clone().map(|ring| ("ring", ring))) {
        let inside = |outer: &PathBuf| path.starts_with(outer) || outer.starts_with(&path);
        ensure!(!inside(data), "[backup] {key} must lie outside the data folder {}", data.display());
        ensure!(!inside(ring), "[backup] {key} must lie outside the key ring {}", ring.display());
        if let Some(second) = &config.keys.destructions {
            ensure!(
                !inside(second),
                "[backup] {key} must lie outside [keys] destructions {}",
                second.display()
            );
        }
        if let Some((other, _)) = seen.iter().find(|(_, other)| inside(other)) {
            bail!("[backup] {key} and {other} must lie apart from each other");
        }
        seen.push((key, path));
    }
    Ok(())
}

/// Refuses data that a restore has filled and not ended.
pub fn must_be_whole(config: &Config) -> Result<()> {
    ensure!(
        !restore::marker(config).exists(),
        "this data was restored, and the restore did not come to its end; run `sealpost backup restore` again, and it goes on"
    );
    Ok(())
}

/// A set and the place where it lies.
struct Found {
    place: Box<dyn Place>,
    header: Header,
}

/// The set that is asked for: by its id, or the newest that `opens`.
fn find(config: &Config, which: &WhichSet, opens: impl Fn(&Header) -> bool) -> Result<Found> {
    let mut places: Vec<String> = which.from.iter().cloned().collect();
    if places.is_empty() {
        places.extend(config.backup.daily.clone());
        places.extend(config.backup.weekly.clone());
    }
    ensure!(!places.is_empty(), "no place of backups is configured; name one with --from");
    let mut found: Vec<(Header, String)> = Vec::new();
    for name in &places {
        found.extend(sets_at(&*place::open(name)?)?.into_iter().map(|header| (header, name.clone())));
    }
    found.sort_by_key(|(header, _)| std::cmp::Reverse(header.created));
    let all = found.len();
    let wanted = which.set.map(BackupId::from_raw);
    let fits = |header: &Header| wanted.map_or_else(|| opens(header), |set| header.set == set);
    let (header, name) = found.into_iter().find(|(header, _)| fits(header)).with_context(|| match wanted {
        Some(set) => format!("there is no set {set} at {}", places.join(" and ")),
        None if all == 0 => format!("there is no set at {}", places.join(" or ")),
        None => "none of the sets opens with this key ring; give the ring's backup of the set's day with --ring".into(),
    })?;
    Ok(Found { place: place::open(&name)?, header })
}
