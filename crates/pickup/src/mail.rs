//! The mails that go with a waiting message: the notice to its recipient, and to its sender the receipt and what happens
//! later. All are submissions; those to the sender land in their mailbox and go nowhere else.

use sealpost_audit::Caller;
use sealpost_delivery::{Accepted, Arrival, Kind, Origin, Submission};
use sealpost_message::compose::{Head, Mail, Person};
use sealpost_message::notice::{Facts as NoticeFacts, Language, Languages, Notice, day};
use sealpost_message::receipt::{Facts as ReceiptFacts, Line, NO_CODE, Receipt};
use sealpost_message::{compose, receipt, threads};
use sealpost_model::{Address, Id, PickupId, RecipientId, ReversePath, Secret, TenantId, Time};
use sealpost_policy::Reason;
use sealpost_store::keys::TenantKeys;

use crate::row::{Found, Message};
use crate::{Error, Link, Pickup, State};

/// A recipient as a receipt names it.
pub(crate) struct Told {
    pub address: Address,
    pub reason: Reason,
    pub state: State,
    pub code: Option<Secret<String>>,
}

/// What the sender's mails share with the message they are about.
pub(crate) struct Thread {
    pub subject: String,
    pub message_id: String,
    pub references: Vec<String>,
}

impl Pickup {
    /// Submits the notice for one recipient. Should it not be deliverable, its DSN comes back to an address that names
    /// the recipient for us and says nothing to others: see [`Pickup::notice_failed`](Self::notice_failed).
    pub(crate) async fn notify(
        &self,
        message: &Message,
        keys: &TenantKeys,
        id: RecipientId,
        to: &Address,
        link: &Link,
        last_day: Time,
    ) -> Result<Accepted, Error> {
        let detail = message.detail(keys)?;
        let sender = detail.address(message.id)?;
        let from = local(NOTICE_FROM, &sender)?;
        let notice = Notice::compose(&NoticeFacts {
            from: &from,
            to,
            organisation: &detail.organisation,
            sender: None,
            link: &format!("{}/pickup/{link}", self.inner.options.portal),
            expires: day(last_day, "UTC"),
            languages: Languages::Both,
            date: self.inner.clock.now(),
            message_id: &self.inner.delivery.message_id(),
            boundary: &self.boundary(),
        })
        .map_err(|error| {
            tracing::error!(%error, "a notice could not be composed");
            Error::Corrupt { what: "notice", id: message.id.raw() }
        })?;
        let back = keys.opaque(NOTICE_RETURN, message.tenant.raw(), id.raw());
        let from = ReversePath::From(local(&format!("sent+{back}"), &sender)?);
        self.submit(message.tenant, Kind::Notice, from, to.clone(), notice.bytes(), None).await
    }

    /// Puts a receipt into the sender's mailbox.
    pub(crate) async fn receipt(
        &self,
        message: &Message,
        keys: &TenantKeys,
        thread: &Thread,
        last_day: Option<Time>,
        told: &[Told],
    ) -> Result<Accepted, Error> {
        let to = message.detail(keys)?.address(message.id)?;
        let id = self.public_id(message, keys);
        let reply_to = local(&format!("sent+{id}"), &to)?;
        let from = local("postmaster", &to)?;
        let lines: Vec<Line<'_>> = told
            .iter()
            .map(|t| Line {
                address: &t.address,
                method: METHOD,
                reason: t.reason.words(),
                state: t.state.word(),
                code: t.code.as_ref(),
            })
            .collect();
        let Receipt { mail, twin } = receipt::compose(&ReceiptFacts {
            from: Person { name: Some("Sealpost"), address: &from },
            to: Person { name: None, address: &to },
            reply_to: &reply_to,
            link: &self.sent_link(&id),
            subject: &thread.subject,
            original_id: Some(&thread.message_id),
            ancestors: &thread.references,
            expires: last_day.map(|t| day(t, "UTC")),
            lines: &lines,
            language: Language::English,
            date: self.inner.clock.now(),
            message_id: &self.inner.delivery.message_id(),
            boundary: &self.boundary(),
        })
        .map_err(|error| {
            tracing::error!(%error, "a receipt could not be composed");
            Error::Corrupt { what: "receipt", id: message.id.raw() }
        })?;
        self.submit(message.tenant, Kind::Receipt, ReversePath::Null, to, mail.expose(), Some(twin)).await
    }

    /// Puts a short text about a message into its sender's mailbox. `codes` stand in the text and become `[code]` in the
    /// journal's twin.
    pub(crate) async fn tell(
        &self,
        message: &Message,
        keys: &TenantKeys,
        thread: &Thread,
        text: &str,
        codes: &[String],
    ) -> Result<Accepted, Error> {
        let to = message.detail(keys)?.address(message.id)?;
        let id = self.public_id(message, keys);
        let reply_to = local(&format!("sent+{id}"), &to)?;
        let from = local("postmaster", &to)?;
        let original = Some(thread.message_id.as_str()).filter(|id| !id.is_empty());
        let (subject, references) = (
            threads::reply_subject(&thread.subject),
            threads::references_for_reply(&thread.references, original),
        );
        let text = format!("{text}\n{}\n", self.sent_link(&id));
        let (message_id, boundary, date) =
            (self.inner.delivery.message_id(), self.boundary(), self.inner.clock.now());
        let write = |text: &str| {
            compose::mail(&Mail {
                head: Head {
                    from: Person { name: Some("Sealpost"), address: &from },
                    to: &[Person { name: None, address: &to }],
                    cc: &[],
                    reply_to: Some(Person { name: None, address: &reply_to }),
                    subject: &subject,
                    date,
                    message_id: &message_id,
                    in_reply_to: original,
                    references: &references,
                    boundary: &boundary,
                },
                text,
                html: None,
                attachments: &[],
            })
            .map_err(|error| {
                tracing::error!(%error, "a mail to a sender could not be composed");
                Error::Corrupt { what: "mail", id: message.id.raw() }
            })
        };
        let mail = Secret::new(write(&text)?);
        let twin = match codes {
            [] => None,
            codes => {
                Some(write(&codes.iter().fold(text, |text, code| text.replace(code.as_str(), NO_CODE)))?)
            }
        };
        self.submit(message.tenant, Kind::Receipt, ReversePath::Null, to, mail.expose(), twin).await
    }

    /// Tells the sender that five wrong codes locked a recipient's copy (S30). No content, and no code.
    pub(crate) async fn tell_lock(&self, found: &Found) -> Result<(), Error> {
        let address = found.row.address(&found.keys)?;
        let text = format!(
            "The code for your message to {address} was given wrong five times, so it is locked: nobody can open it \
             in a new browser.\n\nIf {address} called you about it, make a new code and tell it by phone. If not, \
             somebody else may have tried: take the message back, or leave it locked.\n\nAnswer this mail with the \
             word \"code\" for a new code or with \"retract\" to take the message back, or use this page:\n"
        );
        let thread = self.thread(found);
        self.tell(&found.message, &found.keys, &thread, &text, &[]).await?;
        Ok(())
    }

    /// Tells the sender that a notice did not arrive: nobody will come for the message.
    pub(crate) async fn tell_no_notice(&self, found: &Found) -> Result<(), Error> {
        let address = found.row.address(&found.keys)?;
        let text = format!(
            "Your message to {address} waits on a secure page, but the notice about it could not be delivered: the \
             mail server there did not take it. Check the address for a slip. If it is wrong, take the message back \
             and send it again; answer this mail with the word \"retract\", or use this page:\n"
        );
        let thread = self.thread(found);
        self.tell(&found.message, &found.keys, &thread, &text, &[]).await?;
        Ok(())
    }

    /// Subject and ids, as long as the content lives.
    pub(crate) fn thread(&self, found: &Found) -> Thread {
        let facts = found.row.life_key(self).and_then(|life| found.row.facts(&life));
        match facts {
            Ok(f) => Thread { subject: f.subject, message_id: f.message_id, references: f.references },
            Err(_) => Thread { subject: String::new(), message_id: String::new(), references: Vec::new() },
        }
    }

    async fn submit(
        &self,
        tenant: TenantId,
        kind: Kind,
        from: ReversePath,
        to: Address,
        bytes: &[u8],
        twin: Option<Vec<u8>>,
    ) -> Result<Accepted, Error> {
        let origin = Origin::System { tenant };
        let mut body =
            self.inner.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        body.write(bytes).await?;
        let submission = Submission { caller: Caller::SYSTEM, origin, kind, from, to: vec![to], body, twin };
        Ok(self.inner.delivery.accept(submission).await?)
    }

    /// How a message is called outside: opaque, and of one account.
    pub(crate) fn public_id(&self, message: &Message, keys: &TenantKeys) -> String {
        keys.opaque(PUBLIC_ID, message.account.raw(), message.id.raw())
    }

    pub(crate) fn sent_link(&self, id: &str) -> String {
        format!("{}/sent/{id}", self.inner.options.mail)
    }

    pub(crate) fn boundary(&self) -> String {
        let bytes: [u8; 16] = self.inner.random.bytes();
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

pub(crate) fn from_public_id(keys: &TenantKeys, account: i64, text: &str) -> Option<PickupId> {
    keys.from_opaque(PUBLIC_ID, account, text).map(PickupId::from_raw)
}

/// An address of ours at the domain of `of`.
fn local(name: &str, of: &Address) -> Result<Address, Error> {
    Address::parse(&format!("{name}@{}", of.domain())).map_err(|_| Error::Corrupt { what: "address", id: 0 })
}

/// The recipient whose notice came back to this address.
pub(crate) fn from_notice_return(keys: &TenantKeys, tenant: TenantId, text: &str) -> Option<RecipientId> {
    keys.from_opaque(NOTICE_RETURN, tenant.raw(), text).map(RecipientId::from_raw)
}

const NOTICE_RETURN: &str = "sent notice";
const PUBLIC_ID: &str = "sent";
const NOTICE_FROM: &str = "no-reply";
const METHOD: &str = "secure pickup";
