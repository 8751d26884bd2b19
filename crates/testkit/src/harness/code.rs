//! Is the code a gate? Many guess at once and get five tries; the code itself is written down nowhere (S29, S30).

use std::{
    fs,
    path::Path,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{Dice, Server, http::Browser};

/// Runs it with so many guesses at once.
pub fn run(program: &Path, guesses: u32, mut dice: Dice) -> Result<String> {
    let mut server = Server::start(program)?;
    let to = "pat@outside.example";
    let message =
        format!("From: <alice@clinic.test>\r\nTo: <{to}>\r\nSubject: {}\r\n\r\nx\r\n", dice.word(9));
    server.submit_as("alice")?.send("alice@clinic.test", &[to], message.as_bytes())?.expect(250)?;
    let link = until(|| link(&server, to))?;
    let code = until(|| code(&server, to))?;

    // Each guesser presses open in a browser of its own first; then all guess.
    let path = format!("/pickup/{link}/code");
    let (wrong, right, gone, other) =
        (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| -> Result<()> {
        let mut guessers = Vec::new();
        for first in 0..20 {
            let (server, path, code) = (&server, &path, &code);
            let (link, wrong, right, gone, other) = (&link, &wrong, &right, &gone, &other);
            guessers.push(scope.spawn(move || -> Result<()> {
                let mut browser = Browser::new(server.listener("https")?, Some(server.trust()));
                let page = browser.get(&format!("/pickup/{link}"))?;
                let pressed = browser.submit(&page, &format!("/pickup/{link}"), &[])?;
                // Late guessers find it closed already.
                if pressed.status != 303 {
                    ensure!(pressed.status == 410, "pressing open: {} {}", pressed.status, pressed.body);
                    return Ok(());
                }
                let page = browser.get(path)?;
                for number in (first..guesses).step_by(20) {
                    let guess = format!("{number:06}");
                    if guess == *code {
                        continue;
                    }
                    let answer = browser.submit(&page, path, &[("code", &guess)])?;
                    let count = match (answer.status, answer.body.contains("That is not the code")) {
                        (303, _) => right,
                        (_, true) => wrong,
                        (400.., _) => gone,
                        _ => other,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        for guesser in guessers {
            guesser.join().map_err(|_| anyhow::anyhow!("a guesser panicked"))??;
        }
        Ok(())
    })?;
    let count = |count: &AtomicU32| count.load(Ordering::Relaxed);
    ensure!(
        count(&right) == 0 && count(&other) == 0,
        "{} were let in, {} unclear",
        count(&right),
        count(&other)
    );
    // A guess that was compared may be answered after the fifth, with the page that says that it is closed: how many
    // there were stands on the sender's page.
    ensure!(count(&wrong) <= 5, "{} guesses were compared, not 5", count(&wrong));
    let seen = sent_page(&server, to)?;
    ensure!(seen.contains("5 wrong codes"), "the sender doesn't see five wrong codes:\n{seen}");

    let mut late = Browser::new(server.listener("https")?, Some(server.trust()));
    let page = late.get(&format!("/pickup/{link}"))?;
    if let Some(token) = page.field("csrf") {
        late.post(&format!("/pickup/{link}"), &[("csrf", &token)])?;
        let answer = late.post(&path, &[("csrf", &token), ("code", &code)])?;
        ensure!(answer.status >= 400, "after five wrong codes the right one still opens ({})", answer.status);
    }
    server.kill()?;
    let written = holders(server.folder(), &code)?;
    ensure!(written.is_empty(), "the code is written in {}", written.join(", "));
    Ok(format!(
        "code: {guesses} guesses at once, 5 compared, {} turned away unread, nobody let in; the code is in no file; seed {}",
        count(&gone) + count(&wrong) - 5,
        dice.seed()
    ))
}

/// What alice sees of the message that waits for an address.
fn sent_page(server: &Server, to: &str) -> Result<String> {
    let receipt = receipt(server, to)?.context("no receipt")?;
    let (_, id) = receipt.split_once("/sent/").context("no link")?;
    let id: String = id.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut browser = Browser::new(server.listener("https")?, Some(server.trust()));
    let page = browser.get("/signin")?;
    let alice = server.user("alice")?;
    let fields = [("next", ""), ("login", alice.address.as_str()), ("password", alice.password.as_str())];
    let answer = browser.submit(&page, "/signin", &fields)?;
    ensure!(answer.status == 303, "signing in: {} {}", answer.status, answer.body);
    Ok(browser.get(&format!("/sent/{id}"))?.body)
}

/// The token of the newest notice to an address.
pub fn link(server: &Server, to: &str) -> Result<Option<String>> {
    let all = notices(server, to)?;
    let text = all.last().and_then(|notice| notice["text"].as_str()).unwrap_or_default();
    Ok(text.lines().find_map(|line| line.split_once("/pickup/")).map(|(_, token)| token.trim().to_owned()))
}

/// What the outside world's inbox of an address holds.
pub fn notices(server: &Server, to: &str) -> Result<Vec<Value>> {
    let outside = server.listener("outside")?;
    let trust = server.ready().outside.starts_with("https").then(|| server.trust());
    let page = Browser::new(outside, trust).get(&format!("/outside.json?to={to}"))?;
    let list: Value = serde_json::from_str(&page.body).with_context(|| page.body.clone())?;
    Ok(list.as_array().cloned().unwrap_or_default())
}

/// The code in alice's receipt for an address.
pub fn code(server: &Server, to: &str) -> Result<Option<String>> {
    Ok(receipt(server, to)?.and_then(|text| six_digits(&text)))
}

/// The text of alice's newest receipt for an address.
pub fn receipt(server: &Server, to: &str) -> Result<Option<String>> {
    let mut imap = server.imap_as("alice")?;
    imap.select("INBOX")?;
    for body in imap.bodies()?.iter().rev() {
        let text = String::from_utf8_lossy(body).replace("=\r\n", "").replace("\r\n", "\n");
        let Some((_, text)) = text.split_once("\n\n") else { continue };
        if text.contains(to) && text.contains("/sent/") {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

/// The first six digits that stand alone, with or without a space in the middle.
fn six_digits(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digits =
        |from: usize, to: usize| bytes.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let alone = |at: usize| !bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    for at in 0..bytes.len() {
        if at > 0 && !alone(at - 1) {
            continue;
        }
        if digits(at, at + 6) && alone(at + 6) {
            return text.get(at..at + 6).map(str::to_owned);
        }
        if digits(at, at + 3) && bytes.get(at + 3) == Some(&b' ') && digits(at + 4, at + 7) && alone(at + 7) {
            return Some(format!("{}{}", text.get(at..at + 3)?, text.get(at + 4..at + 7)?));
        }
    }
    None
}

/// The files that hold the code in clear: six given bytes are not there by chance.
fn holders(folder: &Path, code: &str) -> Result<Vec<String>> {
    let forms = [code.to_owned(), format!("{} {}", &code[..3], &code[3..])];
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path)?;
                if forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
                {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    Ok(found)
}

/// Asks until there is something, half a minute at most.
pub fn until<T>(mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let (_silent, pause) = mpsc::channel::<()>();
    while start.elapsed() < Duration::from_secs(30) {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        let _ = pause.recv_timeout(Duration::from_millis(100));
    }
    bail!("nothing within 30 s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_six_digits_that_stand_alone() {
        for (text, code) in [
            ("Code: 204 518.", Some("204518")),
            ("204518", Some("204518")),
            ("on 2026 at 1234567, code 000 001", Some("000001")),
            ("a123456 1234 56", None),
            ("", None),
        ] {
            assert_eq!(six_digits(text).as_deref(), code, "{text}");
        }
    }
}
