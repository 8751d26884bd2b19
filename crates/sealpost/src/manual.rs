//! `sealpost manual`: the man page, and what shells complete. The package is made with it.

use anyhow::Result;
use clap::{CommandFactory as _, ValueEnum};
use clap_complete::Shell;

/// What to print.
#[derive(Clone, Copy, ValueEnum)]
pub enum Kind {
    /// The man page.
    Man,
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
}

/// Prints it.
pub fn run(kind: Kind) -> Result<()> {
    let mut command = crate::Cli::command();
    let mut out = Vec::new();
    match kind {
        Kind::Man => man(command, &mut out)?,
        Kind::Bash => clap_complete::generate(Shell::Bash, &mut command, "sealpost", &mut out),
        Kind::Zsh => clap_complete::generate(Shell::Zsh, &mut command, "sealpost", &mut out),
        Kind::Fish => clap_complete::generate(Shell::Fish, &mut command, "sealpost", &mut out),
    }
    crate::print(&String::from_utf8_lossy(&out))
}

/// One page: the program, then each command with its options.
fn man(command: clap::Command, out: &mut Vec<u8>) -> Result<()> {
    use std::io::Write as _;
    let mut command = command.name("sealpost");
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    describe(&command, out)?;
    writeln!(
        out,
        ".SH FILES\n.TP\n/etc/sealpost/sealpost.toml\nThe configuration.\n.TP\n/var/lib/sealpost\nThe data.\n\
         .TP\n/var/lib/sealpost-ring\nThe key ring, which no backup of the data may hold.\n\
         .SH SEE ALSO\n/usr/share/doc/sealpost/install.md"
    )?;
    Ok(())
}

fn describe(command: &clap::Command, out: &mut Vec<u8>) -> Result<()> {
    use std::io::Write as _;
    for below in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        if below.has_subcommands() {
            describe(below, out)?;
            continue;
        }
        let name = below.get_bin_name().unwrap_or(below.get_name()).replace('-', "\\-");
        writeln!(out, ".SS {name}")?;
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{}", about.replace('\\', "\\\\").replace('-', "\\-"))?;
        clap_mangen::Man::new(below.clone()).render_options_section(out).map(drop)?;
    }
    Ok(())
}
