//! The documentation is fresh: generated pages are what the program says, links lead somewhere, and what a page names
//! in the code is there.
//!
//! `UPDATE=1 cargo nextest run -p sealpost --test docs` writes the generated pages anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

#[test]
fn the_configuration_page_is_fresh() -> Result<()> {
    let default = says(&["serve", "--print-default-config"])?;
    fresh(
        "docs/configuration.md",
        &format!(
            "# Configuration\n\n{GENERATED}\n\n\
             The file holds only what is needed before the store opens. People, domains and waiting messages live in the \
             store and change through [commands](cli.md). `sealpost serve --print-default-config` prints this text. Paths \
             that are not absolute begin at the file's own folder. An unknown key is an error that names its line.\n\n\
             ```toml\n{default}```\n"
        ),
    )
}

#[test]
fn the_metrics_page_is_fresh() -> Result<()> {
    let table = says(&["serve", "--print-metrics"])?;
    fresh(
        "docs/metrics.md",
        &format!(
            "# Metrics\n\n{GENERATED}\n\n\
             With `[listen] metrics = [\"127.0.0.1:9090\"]` the server answers Prometheus at `http://127.0.0.1:9090/metrics`. \
             Numbers alone are there: no address, name or id. There is no sign-in and no TLS, so keep the port on the \
             machine or in a network of your own. `https://HOST/healthz` says `ok` to everybody and nothing else.\n\n\
             {table}"
        ),
    )
}

#[test]
fn the_command_page_is_fresh() -> Result<()> {
    let mut page = format!(
        "# Commands\n\n{GENERATED}\n\n\
         A command finds its server by `--config FILE`, `--data DIR` (a folder that quickstart made), \
         `$SEALPOST_CONFIG`, `./sealpost-data/sealpost.toml` or `/etc/sealpost/sealpost.toml`, in that order. Each exits \
         with 0 when it did what was asked, and says on standard error why it did not.\n"
    );
    describe(&mut page, &mut Vec::new())?;
    fresh("docs/cli.md", &page)
}

#[test]
fn the_cryptography_page_is_fresh() -> Result<()> {
    let table = says(&["key", "inventory"])?;
    fresh(
        "docs/crypto.md",
        &format!(
            "# Cryptography\n\n{GENERATED}\n\n\
             Every algorithm that is used, with the size of its key, the module that computes it and the code that calls it. \
             `sealpost key inventory` prints this table, and `sealpost key inventory --json` also says which keys an \
             instance has. Nothing here can be configured downwards. [Security](security.md) says what it protects and \
             what it does not.\n\n\
             The build feature `fips` takes the module of AWS-LC that is validated by FIPS 140-3 for all lines that name \
             AWS-LC, TLS included; it needs CMake and Go to build. argon2id and the recovery kit's shares are outside of \
             every validated module.\n\n{table}"
        ),
    )
}

#[test]
fn links_lead_somewhere() -> Result<()> {
    let mut wrong = Vec::new();
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        let folder = page.parent().context("a page lies in a folder")?;
        for (words, target) in links(&text) {
            let (path, part) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") {
                continue;
            }
            let to = if path.is_empty() { page.clone() } else { folder.join(path) };
            let said = format!("{}: [{words}]({target})", page.display());
            match fs::read_to_string(&to) {
                // Pictures, folders.
                Err(_) if to.exists() => {}
                Err(_) => wrong.push(format!("{said} leads nowhere")),
                Ok(there) if path.ends_with(".rs") => {
                    if name(words).is_some_and(|name| !defines(&there, name)) {
                        wrong.push(format!("{said}: nothing of that name is defined there"));
                    }
                }
                Ok(there) if !part.is_empty() && !headings(&there).iter().any(|h| h == part) => {
                    wrong.push(format!("{said}: no such heading"));
                }
                Ok(_) => {}
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Every command that a page shows exists, with the options that it shows.
#[test]
fn commands_in_pages_exist() -> Result<()> {
    let mut tree = std::collections::BTreeMap::new();
    grow(&mut tree, &mut Vec::new())?;
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in pages()? {
        let name = page.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        // Generated from the program.
        if matches!(name.as_str(), "cli.md" | "configuration.md") {
            continue;
        }
        for shown in shown_commands(&fs::read_to_string(&page)?) {
            seen += 1;
            if let Err(why) = exists(&tree, &shown) {
                wrong.push(format!("{name}: `{shown}`: {why}"));
            }
        }
    }
    ensure!(seen > 30, "only {seen} commands were found");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Help texts by the words that ask for them.
type Tree = std::collections::BTreeMap<Vec<String>, String>;

fn grow(tree: &mut Tree, words: &mut Vec<String>) -> Result<()> {
    let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
    asked.push("--help");
    let help = says(&asked)?;
    let below = commands(&help);
    tree.insert(words.clone(), help);
    for command in below {
        words.push(command);
        grow(tree, words)?;
        words.pop();
    }
    Ok(())
}

/// Lines of code blocks, and code in sentences, that begin with the program's name.
fn shown_commands(text: &str) -> Vec<String> {
    let (mut shown, mut code) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
            continue;
        }
        let pieces: Vec<&str> = if code || line.starts_with("    ") {
            vec![line]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        for piece in pieces {
            let command = piece.trim().trim_start_matches("sudo ").strip_prefix("sealpost ");
            shown.extend(command.map(|c| c.split(" #").next().unwrap_or(c).trim().to_owned()));
        }
    }
    // A label that goes into a hash is no command.
    shown.retain(|c| {
        c != "audit detail 1" && c.starts_with(|first: char| first.is_ascii_lowercase() || first == '-')
    });
    shown
}

fn exists(tree: &Tree, shown: &str) -> Result<(), String> {
    let mut path: Vec<String> = Vec::new();
    let mut words = shown.split_whitespace().peekable();
    while let Some(word) = words.peek() {
        let below = [path.clone(), vec![(*word).to_owned()]].concat();
        if !tree.contains_key(&below) {
            break;
        }
        path = below;
        words.next();
    }
    let help = tree.get(&path).ok_or("no help")?;
    if let Some(word) = words.peek().filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase()))
        && (path.is_empty() || help.contains("\nCommands:\n"))
    {
        return Err(format!("there is no {word}"));
    }
    // A word in quotation marks may hold anything.
    let plain: String = words.collect::<Vec<_>>().join(" ").split('"').step_by(2).collect();
    for option in plain.split_whitespace().filter(|w| w.starts_with("--")) {
        let option = option.split('=').next().unwrap_or(option).trim_end_matches([',', ')', ']']);
        if !help.contains(option) {
            return Err(format!("it has no {option}"));
        }
    }
    Ok(())
}

const GENERATED: &str =
    "<!-- Written by crates/sealpost/tests/docs.rs: UPDATE=1 cargo nextest run -p sealpost --test docs -->";

/// Holds a page against what it should be, or writes it.
fn fresh(path: &str, wanted: &str) -> Result<()> {
    let page = root()?.join(path);
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&page, wanted).with_context(|| path.to_owned());
    }
    if fs::read_to_string(&page).unwrap_or_default() != wanted {
        bail!("{path} is not fresh; run: UPDATE=1 cargo nextest run -p sealpost --test docs");
    }
    Ok(())
}

/// Writes a command's help and that of those below it.
fn describe(page: &mut String, words: &mut Vec<String>) -> Result<()> {
    let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
    asked.push("--help");
    let help = says(&asked)?;
    let below = commands(&help);
    if !words.is_empty() {
        let level = "#".repeat(words.len() + 1);
        write!(page, "\n{level} `sealpost {}`\n", words.join(" "))?;
    }
    write!(page, "\n```text\n{}\n```\n", help.trim_end())?;
    for command in below {
        words.push(command);
        describe(page, words)?;
        words.pop();
    }
    Ok(())
}

/// The names below `Commands:` in a help text.
fn commands(help: &str) -> Vec<String> {
    let list =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

/// What the program prints; it must succeed.
fn says(words: &[&str]) -> Result<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_sealpost")).args(words).output()?;
    ensure!(out.status.success(), "sealpost {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

/// Every page for people.
fn pages() -> Result<Vec<PathBuf>> {
    let root = root()?;
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for entry in fs::read_dir(root.join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "md") {
            pages.push(path);
        }
    }
    Ok(pages)
}

/// `[words](target)`, outside of code blocks.
fn links(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
        }
        let mut rest = if code { "" } else { line };
        while let Some((before, after)) = rest.split_once("](") {
            let Some((target, behind)) = after.split_once(')') else { break };
            let words = before.rsplit_once('[').map_or(before, |(_, words)| words);
            found.push((words, target));
            rest = behind;
        }
    }
    found
}

/// The name in words like `` `Delivery::accept` ``.
fn name(words: &str) -> Option<&str> {
    let code = words.strip_prefix('`')?.strip_suffix('`')?;
    let last = code.rsplit("::").next()?;
    let plain = last.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then_some(last)
}

/// Whether a file defines a name.
fn defines(source: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "const", "static"].iter().any(|word| {
        source.match_indices(&format!("{word} {name}")).any(|(at, found)| {
            !source[at + found.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        })
    })
}

/// Headings as a link names them.
fn headings(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
    lines
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("the workspace")?.to_owned())
}
