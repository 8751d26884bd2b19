//! The recipient answers (S27): from the verified address, in the same thread, to the sender or to all whom the message
//! names. The MIME body is written while it arrives, into a submission like any other.

use sealpost_audit::{Caller, Verb};
use sealpost_delivery::{Arrival, Incoming, Kind, Origin, Submission};
use sealpost_message::{encode, names, threads, words};
use sealpost_model::{Address, Client, ReversePath};

use crate::facts::Facts;
use crate::replied::Replied;
use crate::{Error, Opened, Person, Pickup, ReplyError};

/// What the form says above the text.
pub struct ReplyHead {
    /// The recipient's own address.
    pub from: String,
    /// The sender.
    pub sender: Person,
    /// Everybody whom it goes to.
    pub to: Vec<Person>,
    /// Its subject.
    pub subject: String,
}

/// A reply while it is being written. Dropping it forgets it.
pub struct ReplyDraft {
    body: Incoming,
    head: String,
    text: String,
    boundary: String,
    to: Vec<Address>,
    /// Whether a part has been begun, which makes it a multipart.
    parts: bool,
    /// Bytes of a file that don't fill a line yet.
    line: Vec<u8>,
    open_file: bool,
}

impl Pickup {
    /// Who sent the message.
    ///
    /// # Errors
    /// As [`Pickup::letter`].
    pub async fn sender(&self, opened: &Opened, client: &Client) -> Result<Person, Error> {
        Ok(self.reading(opened, Verb::ReadSummary, client).await?.facts(self)?.from)
    }

    /// What the form says above the text.
    ///
    /// # Errors
    /// As [`Pickup::letter`].
    pub async fn reply_head(&self, opened: &Opened, all: bool, client: &Client) -> Result<ReplyHead, Error> {
        let facts = self.reading(opened, Verb::ReadSummary, client).await?.facts(self)?;
        let mut to = vec![facts.from.clone()];
        if all {
            to.extend(self.others(opened, &facts)?);
        }
        Ok(ReplyHead {
            from: opened.address()?.to_string(),
            subject: threads::reply_subject(&facts.subject),
            sender: facts.from,
            to,
        })
    }

    /// Begins a reply with this text.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub async fn begin_reply(
        &self,
        opened: &Opened,
        all: bool,
        text: &str,
        client: &Client,
    ) -> Result<ReplyDraft, ReplyError> {
        let facts = self.reading(opened, Verb::ReadSummary, client).await?.facts(self)?;
        let tenant = opened.tenant();
        let from = opened.address()?;
        let others = if all { self.others(opened, &facts)? } else { Vec::new() };
        let message = opened.message();
        let mut to = vec![message.detail(opened.keys())?.address(message.id)?];
        to.extend(others.iter().filter_map(|p| Address::parse(&p.address).ok()));

        let own_name = facts.to.iter().chain(&facts.cc).find(|p| p.is(&from)).map(|p| p.name.clone());
        let from_person = Person { name: own_name.unwrap_or_default(), address: from.to_string() };
        let ancestors = &facts.references;
        let original = Some(facts.message_id.as_str()).filter(|id| !id.is_empty());
        let mut head = String::new();
        head.push_str(&encode::header("From", &mailbox(&from_person)));
        head.push_str(&encode::header("To", &mailbox(&facts.from)));
        if !others.is_empty() {
            let list: Vec<String> = others.iter().map(mailbox).collect();
            head.push_str(&encode::header("Cc", &list.join(", ")));
        }
        let subject = sealpost_message::text::cut(&threads::reply_subject(&facts.subject), 400);
        head.push_str(&encode::header("Subject", &words::encode(&subject)));
        head.push_str(&encode::header("Date", &self.inner.clock.now().rfc5322()));
        head.push_str(&encode::header("Message-ID", &self.inner.delivery.message_id()));
        if let Some(id) = original {
            head.push_str(&encode::header("In-Reply-To", id));
        }
        let references = threads::references_for_reply(ancestors, original);
        if !references.is_empty() {
            head.push_str(&encode::header("References", &references.join(" ")));
        }
        head.push_str("MIME-Version: 1.0\r\n");
        let body = self.inner.delivery.begin(Arrival {
            origin: Origin::Portal { tenant },
            trace: String::new(),
            return_path: from.to_string(),
        });
        Ok(ReplyDraft {
            body,
            head,
            text: text.to_owned(),
            boundary: self.boundary(),
            to,
            parts: false,
            line: Vec::new(),
            open_file: false,
        })
    }

    /// Hands the reply over. On return it is in the sender's mailbox, whether or not the message's state says so already:
    /// an error means that nothing was sent.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub async fn send_reply(
        &self,
        opened: &Opened,
        mut draft: ReplyDraft,
        client: &Client,
    ) -> Result<(), ReplyError> {
        draft.finish().await?;
        let tenant = opened.tenant();
        let accepted = self
            .inner
            .delivery
            .accept(Submission {
                caller: Caller { actor: opened.actor(), client: *client },
                origin: Origin::Portal { tenant },
                kind: Kind::Message,
                from: ReversePath::From(opened.address()?),
                to: draft.to,
                body: draft.body,
                twin: None,
            })
            .await?;
        self.replied(Replied {
            tenant,
            recipient: opened.id(),
            actor: opened.actor(),
            client: *client,
            submission: accepted.submission,
            at: self.inner.clock.now(),
            rounds: 0,
        })
        .await;
        Ok(())
    }

    /// The visible recipients besides this one and the sender; nobody for a Bcc.
    pub(crate) fn others(&self, opened: &Opened, facts: &Facts) -> Result<Vec<Person>, Error> {
        let own = opened.address()?;
        if !facts.names(&own) {
            return Ok(Vec::new());
        }
        let mut out: Vec<Person> = Vec::new();
        for person in facts.to.iter().chain(&facts.cc) {
            let Ok(address) = Address::parse(&person.address) else { continue };
            if !address.same(&own) && !facts.from.is(&address) && !out.iter().any(|p| p.is(&address)) {
                out.push(person.clone());
            }
        }
        Ok(out)
    }
}

impl ReplyDraft {
    /// Begins an attachment.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub async fn attach(&mut self, name: &str, media_type: &str) -> Result<(), ReplyError> {
        self.close_file().await?;
        if !self.parts {
            self.parts = true;
            let head = format!(
                "{}Content-Type: multipart/mixed;\r\n boundary=\"{}\"\r\n\r\n--{}\r\n",
                self.head, self.boundary, self.boundary
            );
            self.body.write(head.as_bytes()).await?;
            self.text_part().await?;
        }
        let name = names::safe(name);
        // What a message or multipart inside would mean to a reader is not for a stranger to say.
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        let lower = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let kind = match lower.split_once('/') {
            Some((kind, sub))
                if !matches!(kind, "multipart" | "message")
                    && !kind.is_empty()
                    && !sub.is_empty()
                    && lower.len() <= 100
                    && kind.bytes().chain(sub.bytes()).all(fine) =>
            {
                lower.as_str()
            }
            _ => "application/octet-stream",
        };
        let head = format!(
            "--{}\r\nContent-Type: {kind}{}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment{}\r\n\r\n",
            self.boundary,
            encode::parameter("name", &name),
            encode::parameter("filename", &name),
        );
        self.body.write(head.as_bytes()).await?;
        self.open_file = true;
        Ok(())
    }

    /// The next bytes of the attachment, in any pieces.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ReplyError> {
        self.line.extend_from_slice(bytes);
        let whole = self.line.len() / LINE * LINE;
        if whole > 0 {
            let encoded = encode::base64_lines(&self.line[..whole]);
            self.line.drain(..whole);
            self.body.write(&encoded).await?;
        }
        Ok(())
    }

    async fn close_file(&mut self) -> Result<(), ReplyError> {
        if std::mem::take(&mut self.open_file) {
            let rest = encode::base64_lines(&std::mem::take(&mut self.line));
            self.body.write(&rest).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ReplyError> {
        self.close_file().await?;
        if self.parts {
            self.body.write(format!("--{}--\r\n", self.boundary).as_bytes()).await?;
        } else {
            let head = std::mem::take(&mut self.head);
            self.body.write(head.as_bytes()).await?;
            self.text_part().await?;
        }
        Ok(())
    }

    async fn text_part(&mut self) -> Result<(), ReplyError> {
        let text = std::mem::take(&mut self.text);
        let plain = encode::seven_bit(&text).filter(|_| !text.contains(&self.boundary));
        let encoding = if plain.is_some() { "7bit" } else { "quoted-printable" };
        let head = format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        self.body.write(head.as_bytes()).await?;
        let body = plain.unwrap_or_else(|| encode::quoted_printable(&text));
        self.body.write(&body).await?;
        Ok(())
    }
}

fn mailbox(person: &Person) -> String {
    if person.name.is_empty() {
        return person.address.clone();
    }
    format!("{} <{}>", words::phrase(&person.name), person.address)
}

/// Bytes that make one line of base64.
const LINE: usize = 57;
