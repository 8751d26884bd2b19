//! Asking on the terminal. An answer that will not do is asked for again, with the reason.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Result, bail};
use sealpost_model::Domain;

use super::answers::{Answers, Recovery, Somebody};
use super::plan::{self, Usual, Wrong};

/// Asks for everything.
pub(super) fn ask(file: &Path) -> Result<Answers> {
    if !std::io::stdin().is_terminal() {
        bail!("init asks on a terminal; without one give the answers in a file with --answers FILE");
    }
    let usual = Usual::of(file);
    let shown = |path: &Path| path.display().to_string();
    let fine = |_: &str| Ok(());
    say(
        "\nThe answers in brackets are taken when you press Enter. Nothing is made before the last answer.\n\n",
    )?;
    let organisation =
        line("Organisation (as recipients know it)", None, &|t| plan::organisation(t).map(drop))?;
    let hostname = line("Host name of this server (as in mail.clinic.example)", None, &|t| {
        plan::host_name(t).map(drop)
    })?;
    let public_url =
        line("Public address of the web", Some(&format!("https://{hostname}")), &|t| plan::url(t).map(drop))?;
    let domain = line("Mail domain", hostname.split_once('.').map(|(_, domain)| domain), &|t| {
        plan::domain(t).map(drop)
    })?;
    say(
        "\nCertificates: from Let's Encrypt, by themselves, when the Internet reaches this server's port 443, or from files.\n",
    )?;
    let order = line("Order them from Let's Encrypt", Some("yes"), &|t| match t {
        "yes" | "no" => Ok(()),
        _ => Err(Wrong::new("", "answer yes or no")),
    })?;
    let acme = match order.as_str() {
        "yes" => Some(line("  its letters about trouble go to", None, &|t| plan::acme(t).map(drop))?),
        _ => None,
    };
    let (mut certificate, mut key) = (None, None);
    if acme.is_none() {
        certificate = Some(line("Certificate chain, PEM", Some(&shown(&usual.certificate)), &fine)?.into());
        key = Some(line("Its key, PEM", Some(&shown(&usual.key)), &fine)?.into());
    }
    let data = line("Data folder", Some(&shown(&usual.data)), &fine)?.into();
    let ring =
        line("Key ring, outside the data folder and its backups", Some(&shown(&usual.ring)), &fine)?.into();
    let master = line("Master key", Some(&shown(&usual.master)), &fine)?.into();
    let anchor =
        line("Anchor of the log, best on another host's disk", Some(&shown(&usual.anchor)), &fine)?.into();
    say(
        "\nTwo people answer for security. Each sets their own password, by a link that is shown at the end.\n",
    )?;
    let parsed = plan::domain(&domain).map_err(Wrong::plain)?;
    let official = somebody("The security official", &parsed)?;
    let second = somebody("A second person who can do the same", &parsed)?;
    say(
        "\nThe recovery kit brings the master key back when this machine is lost. It is split into parts for\n\
         several people; fewer than you choose here tell nothing.\n",
    )?;
    let shares = number("How many parts", "3")?;
    let needed = loop {
        match number("How many of them are enough", "2")? {
            needed if needed <= shares => break needed,
            _ => say("  no more than there are\n")?,
        }
    };
    Ok(Answers {
        organisation,
        hostname,
        public_url: Some(public_url),
        domain,
        data: Some(data),
        store: None,
        ring: Some(ring),
        master: Some(master),
        anchor: Some(anchor),
        acme,
        certificate,
        key,
        official,
        second,
        recovery: Recovery { shares, needed, folder: None },
    })
}

fn somebody(who: &str, domain: &Domain) -> Result<Somebody> {
    let name = line(&format!("{who}: name"), None, &|t| plan::name("name", t).map(drop))?;
    let address =
        line(&format!("  address (at {domain})"), None, &|t| plan::address("address", t, domain).map(drop))?;
    let contact =
        line("  contact while this server is down (telephone, or an address elsewhere)", None, &|t| {
            plan::contact("contact", t, domain).map(drop)
        })?;
    Ok(Somebody { name, address, contact, password: None })
}

fn number(question: &str, usual: &str) -> Result<u8> {
    let right = |text: &str| match text.parse::<u8>() {
        Ok(2..=16) => Ok(()),
        _ => Err(Wrong::new("", format!("{text:?} is not a number from 2 to 16"))),
    };
    Ok(line(question, Some(usual), &right)?.parse()?)
}

/// Asks until there is an answer that will do.
fn line(question: &str, usual: Option<&str>, check: &dyn Fn(&str) -> Result<(), Wrong>) -> Result<String> {
    loop {
        let hint = usual.map_or(String::new(), |usual| format!(" [{usual}]"));
        say(&format!("{question}{hint}: "))?;
        let Some(answer) = read()? else { bail!("the answers ended; nothing was made") };
        let answer = match (answer.trim(), usual) {
            ("", Some(usual)) => usual,
            ("", None) => continue,
            (answer, _) => answer,
        };
        match check(answer) {
            Ok(()) => return Ok(answer.to_owned()),
            Err(wrong) => say(&format!("  {}\n", wrong.why))?,
        }
    }
}

/// Waits for Enter.
pub(super) fn pause(text: &str) -> Result<()> {
    say(text)?;
    read().map(drop)
}

/// Asks for a yes.
pub(super) fn yes(question: &str) -> Result<bool> {
    say(&format!("{question} [y/N]: "))?;
    Ok(read()?.is_some_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes")))
}

fn read() -> Result<Option<String>> {
    let mut answer = String::new();
    Ok((std::io::stdin().lock().read_line(&mut answer)? > 0).then_some(answer))
}

/// Says something that is no result: to standard error.
pub(super) fn say(text: &str) -> Result<()> {
    let mut err = std::io::stderr().lock();
    err.write_all(text.as_bytes())?;
    Ok(err.flush()?)
}
