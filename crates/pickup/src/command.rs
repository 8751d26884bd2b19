//! The mail commands: the first word of a mail to `sent+ID@DOMAIN` by the message's owner, over authenticated submission
//! (`status`, `code`, `expire`, `retract`, each with an address behind it to name one recipient). The answer comes into
//! the same thread.

use std::fmt::Write as _;

use sealpost_audit::{Caller, Verb};
use sealpost_delivery::{Batch, Evidence, Job, Kind, Outcome};
use sealpost_model::{Actor, Address, Client, Protocol};
use sealpost_policy::Reason;
use sealpost_store::keys::TenantKeys;
use sealpost_store::params;

use crate::mail::from_notice_return;
use crate::row::{Found, Row, message};
use crate::state::EndedBy;
use crate::wait::NO_NOTICE;
use crate::{Ending, Error, Pickup, Sender, schema};

/// A word with the recipient that it names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Status,
    Code(Option<Address>),
    Expire(Option<Address>),
    Retract(Option<Address>),
}

/// What a command came to: the words of the answer, and what of them must not enter the journal.
struct Answer {
    text: String,
    codes: Vec<String>,
}

impl Command {
    /// Reads the first line that says something. Quoted lines don't count.
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('>'))?;
        let mut words = line.split_whitespace();
        let word = words.next()?.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_lowercase();
        let named = words.next().map(|w| w.trim_matches(|c: char| "<>,;.\"'()".contains(c)));
        let named = named.and_then(|w| Address::parse(w).ok());
        match word.as_str() {
            "status" => Some(Self::Status),
            "code" => Some(Self::Code(named)),
            "expire" => Some(Self::Expire(named)),
            "retract" => Some(Self::Retract(named)),
            _ => None,
        }
    }
}

impl Pickup {
    /// Carries out the words of a mail to `sent+ID@DOMAIN`. The answer goes into the sender's mailbox.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the message isn't the sender's, and the ground's.
    pub async fn command(&self, sender: &Sender, id: &str, text: &str) -> Result<(), Error> {
        let (message, rows, keys) = self.owned(sender, id).await?;
        let Some(first) = rows.first() else { return Err(Error::NotFound) };
        let thread = self.thread(&Found { row: first.clone(), message: message.clone(), keys: keys.clone() });
        let answer = match Command::parse(text) {
            Some(Command::Status) => self.say_status(&rows, &keys)?,
            Some(Command::Code(named)) => self.make_codes(sender, id, named.as_ref()).await?,
            Some(Command::Expire(named)) => self.end_by_mail(sender, id, named, Ending::Expire).await?,
            Some(Command::Retract(named)) => self.end_by_mail(sender, id, named, Ending::Retract).await?,
            None => plain(
                "That mail began with no word that I know. Answer with one of these, in its first line:\n\n\
                 status   what became of the message\n\
                 code     a new code; the old one is void\n\
                 expire   end the message now\n\
                 retract  take the message back\n\n\
                 Put an address behind the word to name one recipient. Or use this page:\n",
            ),
        };
        self.tell(&message, &keys, &thread, &answer.text, &answer.codes).await?;
        Ok(())
    }

    fn say_status(&self, rows: &[Row], keys: &TenantKeys) -> Result<Answer, Error> {
        let now = self.inner.clock.now();
        let mut text = String::from("Your message, recipient by recipient:\n");
        for row in rows {
            let at = &row.now;
            let _ = writeln!(text, "\n{}\n  State: {}", row.address(keys)?, at.state_at(now).word());
            match at.opened {
                Some(time) => writeln!(text, "  First opened: {}", time.rfc5322()),
                None => writeln!(text, "  Never opened: no content has been shown."),
            }
            .ok();
            if let Some(time) = at.replied {
                let _ = writeln!(text, "  Replied: {}", time.rfc5322());
            }
            if at.tries > 0 && at.state.is_kept() {
                let _ = writeln!(text, "  Wrong codes: {}", at.tries);
            }
            match (at.ended, at.ended_by) {
                (Some(time), by) => {
                    let who = match by {
                        Some(EndedBy::Administrator) => " by an administrator",
                        Some(EndedBy::Sender) => " by you",
                        _ => "",
                    };
                    writeln!(text, "  Ended{who}: {}", time.rfc5322())
                }
                (None, _) => writeln!(text, "  Kept until: {}", at.expires.rfc5322()),
            }
            .ok();
        }
        text.push_str("\nThe same, with what you can do about it:\n");
        Ok(Answer { text, codes: Vec::new() })
    }

    async fn make_codes(&self, sender: &Sender, id: &str, named: Option<&Address>) -> Result<Answer, Error> {
        let (message, rows, keys) = self.owned(sender, id).await?;
        let mut out = Answer { text: String::new(), codes: Vec::new() };
        for row in rows {
            let address = row.address(&keys)?;
            if named.is_some_and(|n| !n.same(&address)) {
                continue;
            }
            let found = Found { row, message: message.clone(), keys: keys.clone() };
            match self.reissue_for(sender, &found, None).await {
                Ok(issued) => {
                    let code = issued.code.expose().to_owned();
                    let _ = writeln!(out.text, "{address}\n  New code: {code}\n");
                    out.codes.push(code);
                }
                Err(error @ (Error::Ended | Error::NoCodesLeft | Error::Changed)) => {
                    let _ = writeln!(out.text, "{address}\n  No new code: {error}.\n");
                }
                Err(error) => return Err(error),
            }
        }
        if out.text.is_empty() {
            return Ok(plain("The message has no such recipient. Its page lists them:\n"));
        }
        if !out.codes.is_empty() {
            out.text.push_str(
                "Tell a code by phone or in person, and don't forward this mail. The code before it is void.\n",
            );
        }
        out.text.push_str("\nWhat became of the message:\n");
        Ok(out)
    }

    async fn end_by_mail(
        &self,
        sender: &Sender,
        id: &str,
        named: Option<Address>,
        ending: Ending,
    ) -> Result<Answer, Error> {
        let (message, rows, keys) = self.owned(sender, id).await?;
        let mut meant = Vec::new();
        for row in rows {
            let address = row.address(&keys)?;
            if named.as_ref().is_none_or(|n| n.same(&address)) {
                meant.push(row);
            }
        }
        if meant.is_empty() {
            return Ok(plain("The message has no such recipient. Its page lists them:\n"));
        }
        let opened = meant.iter().filter(|r| r.now.opened.is_some()).count();
        let total = meant.len();
        let by = EndedBy::Sender;
        match self.end_rows(&message, meant, &keys, &sender.caller, ending, by, "").await {
            Ok(_) => Ok(plain(&format!(
                "Done: access stopped at once, and what was kept is being destroyed. {opened} of {total} had opened \
                 it.\n\nCopies that left by another way, over TLS to a mail server, cannot be called back.\n\nWhat \
                 became of the message:\n"
            ))),
            Err(Error::Ended) => Ok(plain("It had ended already. What became of the message:\n")),
            Err(error) => Err(error),
        }
    }

    /// A mail to `sent+ID@DOMAIN` from the queue.
    pub(crate) async fn carry_command(&self, batch: &Batch, job: &Job) -> Result<Outcome, Error> {
        let refused = || {
            let evidence = Evidence { reply: Error::NotFound.to_string(), ..Evidence::default() };
            Outcome::Rejected { reason: Reason::NoSuchAddress, evidence }
        };
        let Some((_, id)) = job.recipient.local().split_once('+') else { return Ok(refused()) };
        if batch.kind == Kind::Dsn {
            self.notice_failed(batch, &id.to_ascii_lowercase()).await?;
            return Ok(Outcome::Done);
        }
        let Some(account) = batch.sender else { return Ok(refused()) };
        let actor = match batch.person {
            Some(person) => Actor::Person { tenant: batch.tenant, person },
            None => Actor::System,
        };
        let caller = Caller { actor, client: Client { protocol: Protocol::Submission, ..Client::SYSTEM } };
        let sender = Sender { caller, tenant: batch.tenant, account };
        let text = self.words(batch).await?;
        match self.command(&sender, &id.to_ascii_lowercase(), &text).await {
            Ok(()) => Ok(Outcome::Done),
            Err(Error::NotFound) => Ok(refused()),
            Err(error) => Err(error),
        }
    }

    /// The DSN of a notice: the recipient's row notes it, and the sender is told, once.
    pub(crate) async fn notice_failed(&self, batch: &Batch, id: &str) -> Result<(), Error> {
        let keys = self.inner.keys.tenant(batch.tenant).await?;
        let Some(recipient) = from_notice_return(&keys, batch.tenant, id) else { return Ok(()) };
        let found = self
            .inner
            .store
            .read(move |tx| {
                let Some(row) = tx.row(&schema::BY_ID, params![recipient], Row::read)? else {
                    return Ok(None);
                };
                let message = message(tx, row.pickup)?;
                Ok::<_, Error>(Some((row, message)))
            })
            .await?;
        let Some((row, message)) = found else { return Ok(()) };
        let mut row = row.check(&keys)?;
        if row.told & NO_NOTICE != 0 || !row.now.state_at(self.inner.clock.now()).is_kept() {
            return Ok(());
        }
        self.tell_no_notice(&Found { row: row.clone(), message: message.clone(), keys: keys.clone() })
            .await?;
        let draft = self
            .inner
            .audit
            .draft(batch.tenant, &Actor::System, &Client::SYSTEM, Verb::PickupNotice)
            .owner(message.account)
            .failed()
            .reason("not-delivered")
            .object(message.id)
            .object(row.id)
            .object(batch.submission);
        self.note(&mut row, NO_NOTICE, draft).await
    }

    /// The beginning of the mail's text; its subject when that says a word and the text doesn't.
    async fn words(&self, batch: &Batch) -> Result<String, Error> {
        let summary = batch.message.summary();
        let display = summary.structure.display();
        let mut text = String::new();
        if let Some(leaf) = display.text.first().or_else(|| display.html.first()) {
            let range = leaf.part.body.range();
            let range = range.start..range.end.min(range.start + WORDS_MAX);
            let body = batch.message.read(range).await.map_err(sealpost_delivery::Error::from)?;
            text = sealpost_message::text::of(leaf.part, &body);
        }
        if Command::parse(&text).is_none() && Command::parse(&batch.facts.subject).is_some() {
            text.clone_from(&batch.facts.subject);
        }
        Ok(text)
    }
}

fn plain(text: &str) -> Answer {
    Answer { text: text.to_owned(), codes: Vec::new() }
}

const WORDS_MAX: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_counts() {
        let pat = Some(Address::parse("pat@outside.example").unwrap());
        for (text, command) in [
            ("status", Some(Command::Status)),
            ("\r\n  Status.\r\n> code", Some(Command::Status)),
            ("> status\ncode pat@outside.example", Some(Command::Code(pat.clone()))),
            ("Retract <pat@outside.example>, please", Some(Command::Retract(pat))),
            ("\"expire\"", Some(Command::Expire(None))),
            ("please retract", None),
            ("", None),
            ("> status", None),
            ("statusx", None),
        ] {
            assert!(Command::parse(text) == command, "{text:?}");
        }
    }
}
