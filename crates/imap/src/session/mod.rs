//! A session: one connection, its person, its open folder, and the loop that serves its commands in order.

mod flags;
mod link;
mod news;
mod place;
mod reply;
mod selected;
mod verbs;

use std::sync::Arc;

use sealpost_identity::Login;
use sealpost_mailbox::Caller;
use sealpost_net::{Stop, Stream};
use sealpost_store::Watch;
use zeroize::Zeroize;

use crate::codec::{Command, Frame, Tag, Verb, Wrong, parse, parse_stranger};
use crate::serve::Services;
use link::Link;
use reply::{End, Halt, Reply};
use selected::Selected;

/// What the server can do, once somebody is signed in.
pub const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ SASL-IR ID NAMESPACE UIDPLUS IDLE MOVE SPECIAL-USE CHILDREN \
    LIST-EXTENDED LIST-STATUS UNSELECT ENABLE CONDSTORE ESEARCH WITHIN";

/// Commands that are none, one after the other, before the client is sent away.
const MOST_BAD: u32 = 50;
/// The same, of a stranger.
const MOST_BAD_OF_STRANGERS: u32 = 10;
/// Commands of any kind that a stranger may send.
const MOST_OF_STRANGERS: u32 = 100;

pub(crate) struct Session {
    link: Link,
    services: Arc<Services>,
    person: Option<Person>,
    /// Whether the client understands MODSEQ (RFC 7162 section 3.1).
    condstore: bool,
    /// Commands in a row that were none.
    bad: u32,
    /// Wrong passwords.
    wrong: u32,
    /// Commands before anybody signed in.
    strange: u32,
}

/// Whoever signed in.
struct Person {
    login: Login,
    /// In their own mailbox.
    own: Caller,
    /// In the mailbox of the folder that is open, or was last.
    caller: Caller,
    watch: Watch,
    selected: Option<Selected>,
    /// This session itself changed something, so changes are looked for without waiting for the feed.
    stale: bool,
}

impl Session {
    pub fn new(stream: Stream, services: Arc<Services>, stop: Stop) -> Self {
        Self {
            link: Link::new(stream, stop),
            services,
            person: None,
            condstore: false,
            bad: 0,
            wrong: 0,
            strange: 0,
        }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self) {
        let greeting = format!("OK [CAPABILITY {}] Sealpost is ready", self.capabilities());
        self.link.w.untagged(greeting);
        let end = loop {
            if let Err(end) = self.step().await {
                break end;
            }
        };
        if let Some(farewell) = end.farewell().filter(|_| end != End::Logout) {
            self.link.w.untagged(format!("BYE {farewell}"));
        }
        // A client that is gone, or that was promised bytes that never came, gets nothing more.
        if end != End::Closed {
            let _ = self.link.flush().await;
        }
        if let Some(person) = &self.person {
            verbs::logout::log(&self.services.identity, person, end).await;
        }
        if end != End::Closed {
            self.link.stream.close().await;
        }
    }

    /// What can be done at this point of the session.
    fn capabilities(&self) -> String {
        if self.person.is_some() {
            CAPABILITIES.to_owned()
        } else if self.link.stream.tls().is_some() {
            "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN".to_owned()
        } else {
            "IMAP4rev1 LITERAL+ ID ENABLE STARTTLS LOGINDISABLED".to_owned()
        }
    }

    /// Serves the next thing that the client sends.
    async fn step(&mut self) -> Result<(), End> {
        let frame = self.link.frame().await?;
        if self.link.stop.is_stopping() {
            return Err(End::Stopping);
        }
        match frame {
            Frame::Command(mut bytes) => match self.parse(&bytes) {
                Ok(Command { tag, verb: Verb::Idle }) => {
                    let reply = verbs::idle::idle(self).await;
                    self.answer(Some(&tag), reply, true).await
                }
                Ok(Command { tag, verb }) => {
                    if matches!(verb, Verb::Login { .. } | Verb::Authenticate { .. }) {
                        bytes.zeroize();
                    }
                    drop(bytes);
                    // Boxed, so that a session that waits is small.
                    Box::pin(self.execute(tag, verb)).await
                }
                Err(error) => {
                    bytes.zeroize();
                    self.answer(error.tag.as_ref(), Err(Reply::bad(error.to_string()).into()), false).await
                }
            },
            Frame::Continue => {
                self.link.w.raw("+ Go on\r\n");
                Ok(())
            }
            Frame::Append { head, size, waits } => {
                let (tag, reply) = Box::pin(verbs::append::append(self, &head, size, waits)).await;
                self.answer(tag.as_ref(), reply, true).await
            }
            Frame::Refused { tag, why } => {
                self.answer(tag.as_ref(), Err(Reply::bad(why.to_string()).into()), false).await
            }
            Frame::Hopeless => Err(End::Abuse),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Command, Wrong> {
        if self.person.is_some() { parse(bytes) } else { parse_stranger(bytes) }
    }

    async fn execute(&mut self, tag: Tag, verb: Verb) -> Result<(), End> {
        let by_number = matches!(
            verb,
            Verb::Fetch { uid: false, .. } | Verb::Store { uid: false, .. } | Verb::Search { uid: false, .. }
        );
        let upgrade = matches!(verb, Verb::StartTls);
        if let Some(person) = &self.person {
            place::still_open(&self.services.identity, person).await?;
        }
        let reply = verbs::obey(self, &tag, verb).await;
        let begun = upgrade && reply.is_ok();
        self.answer(Some(&tag), reply, !by_number).await?;
        if begun { verbs::starttls::begin(self).await } else { Ok(()) }
    }

    /// Ends a command: news of the open folder, then the tagged answer.
    async fn answer(
        &mut self,
        tag: Option<&Tag>,
        reply: Result<Reply, Halt>,
        may_expunge: bool,
    ) -> Result<(), End> {
        let (reply, end) = match reply {
            Ok(reply) | Err(Halt::Reply(reply)) => (reply, None),
            // LOGOUT is answered; every other end is not.
            Err(Halt::End(End::Logout)) => (Reply::ok("Signed out"), Some(End::Logout)),
            Err(Halt::End(end)) => return Err(end),
        };
        if end.is_none() && !reply.is_bad() {
            news::tell(self, may_expunge).await?;
        }
        reply.write(&mut self.link.w, tag);
        self.bad = if reply.is_bad() { self.bad + 1 } else { 0 };
        let stranger = self.person.is_none();
        self.strange += u32::from(stranger);
        let most = if stranger { MOST_BAD_OF_STRANGERS } else { MOST_BAD };
        if self.bad >= most || (stranger && self.strange >= MOST_OF_STRANGERS) {
            return Err(End::Abuse);
        }
        self.link.spill().await?;
        end.map_or(Ok(()), Err)
    }

    /// Whoever signed in, or the answer that nobody did.
    fn person(&mut self) -> Result<&mut Person, Halt> {
        self.person.as_mut().ok_or_else(|| Reply::bad("Sign in first").into())
    }
}
