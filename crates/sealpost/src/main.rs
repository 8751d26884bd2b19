//! Sealpost: self-hosted secure mail for organisations that hold health information.

mod alerts;
mod anchor;
mod audit;
mod backup;
mod certificates;
mod check;
mod config;
mod control;
mod guard;
mod init;
mod instance;
mod inventory;
mod key;
mod log;
mod manual;
mod master;
mod metrics;
mod notify;
mod offline;
mod outside;
mod people;
mod proof;
mod quickstart;
mod serve;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use config::Config;

/// Self-hosted secure mail for organisations that hold health information.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Which instance a command works with.
#[derive(clap::Args, Clone)]
pub struct Which {
    /// The configuration file.
    #[arg(long, value_name = "FILE", conflicts_with = "data", global = true)]
    config: Option<PathBuf>,
    /// The folder that quickstart made.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Where the passphrase of the master key is read from, if it is kept by one: the number of an open file.
    #[arg(long, value_name = "N", global = true)]
    master_passphrase_fd: Option<u32>,
}

impl Which {
    /// Reads its configuration.
    fn load(&self) -> Result<Config> {
        let file = Config::find(self.config.as_deref(), self.data.as_deref());
        Ok(Config { passphrase_fd: self.master_passphrase_fd, ..Config::load(&file)? })
    }
}

#[derive(Subcommand)]
enum Command {
    /// A working server with sample people, on this machine alone.
    Quickstart(quickstart::Args),
    /// The server.
    Serve {
        #[command(flatten)]
        which: Which,
        /// Prints the commented configuration and ends.
        #[arg(long)]
        print_default_config: bool,
        /// Prints what `[listen] metrics` has, as a table, and ends.
        #[arg(long)]
        print_metrics: bool,
    },
    /// Makes a server out of nothing: asks, makes keys and store, and says what to do next.
    Init(init::Args),
    /// Says what is wrong or missing, and what to do about it. Needs no server.
    Check(check::Args),
    /// The audit log's proof.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// The archive's proof.
    Archive {
        #[command(subcommand)]
        command: verify::ArchiveCommand,
    },
    /// The man page, or what a shell completes.
    #[command(hide = true)]
    Manual {
        /// Which.
        kind: manual::Kind,
    },
    /// The master key, the recovery kit, rotation, and the table of all cryptography.
    Key {
        #[command(subcommand)]
        command: key::Key,
    },
    /// Backup sets: making, restoring, proving them.
    Backup(backup::Args),
    #[command(flatten)]
    Control(control::client::Command),
}

fn main() -> ExitCode {
    guard::raise();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error)),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Quickstart(args) => quickstart::run(args).await.map(done),
        Command::Serve { print_default_config: true, .. } => print(config::DEFAULT).map(done),
        Command::Serve { print_metrics: true, .. } => print(&metrics::describe()).map(done),
        Command::Serve { which, .. } => serve::run(&which.load()?).await.map(done),
        Command::Init(args) => init::run(args).await.map(done),
        Command::Check(args) => check::run(args).await,
        Command::Audit { command } => audit::run(command).await,
        Command::Archive { command } => verify::archive(command).await,
        Command::Manual { kind } => manual::run(kind).map(done),
        Command::Key { command } => key::run(command).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Control(command) => control::client::run(command).await,
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// Prints to standard output. A closed pipe is no error: whoever reads has seen enough.
pub fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "sealpost: {error:#}");
    ExitCode::FAILURE
}
