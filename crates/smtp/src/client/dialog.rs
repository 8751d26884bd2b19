//! One connection to somebody's server: greeting, TLS, and a transaction.

use std::net::SocketAddr;
use std::time::Duration;

use sealpost_delivery::Evidence;
use sealpost_model::{Address, Protocol};
use sealpost_net::{Error, Hello, Line, Stream, Verdict, connect_any};
use sealpost_policy::Grade;

use super::courier::Settings;
use super::letter::{Content, Letter};
use super::target::Host;
use crate::codec::{Enhanced, Extensions, Reply, ReplyReader, Stuff};

/// A server that was spoken to, at a known grade.
pub(crate) struct Peer {
    stream: Stream,
    extensions: Extensions,
    pub(crate) grade: Grade,
    pub(crate) evidence: Evidence,
}

/// Why a connection led nowhere. The evidence says what was seen of it.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No connection, a broken one, a peer that garbles, 4xx where a connection begins.
    Unreachable(Evidence),
    /// It would be below the floor.
    Below(Evidence),
}

/// What became of one transaction.
#[derive(Debug)]
pub(crate) enum Said {
    /// Each recipient's reply, in their order: the one to the body for those that were taken.
    Each(Vec<Reply>),
    /// The server can't take such a message; nothing was sent.
    Lacks(&'static str),
    /// The connection broke; what the server did is not known.
    Broke(String),
}

/// How far the encryption of an address has been tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    Tls(Hello),
    /// TLS was offered and did not come about, and the floor allows to go without.
    Clear,
}

impl Peer {
    /// Greets, and reaches `floor` or fails. A handshake that dies is tried once more with a small hello; whoever may
    /// go without encryption then does.
    pub(crate) async fn open(
        settings: &Settings,
        host: &Host,
        stream: Stream,
        floor: Grade,
    ) -> Result<Self, Trouble> {
        let addr = SocketAddr::new(stream.client().ip, stream.client().port);
        let mut first = Some(stream);
        let mut how = Try::Tls(Hello::Large);
        loop {
            let mut peer = Self::greet(settings, host, addr, first.take()).await?;
            let failed = match how {
                Try::Clear => {
                    peer.evidence.verified = "TLS failed, and this may go without".into();
                    None
                }
                Try::Tls(hello) => peer.encrypt(settings, host, hello).await?,
            };
            let Some(error) = failed else { return peer.at(floor).await };
            how = match how {
                Try::Tls(Hello::Large) if error.worth_a_small_hello() => Try::Tls(Hello::Small),
                _ if floor == Grade::Clear => Try::Clear,
                _ => {
                    peer.evidence.verified = error.to_string();
                    return Err(Trouble::Below(peer.evidence));
                }
            };
        }
    }

    /// Reads greeting and extensions over the first connection, or over another one to the same address.
    async fn greet(
        settings: &Settings,
        host: &Host,
        addr: SocketAddr,
        first: Option<Stream>,
    ) -> Result<Self, Trouble> {
        let evidence = Evidence { host: format!("{} [{}]", host.name, addr.ip()), ..Evidence::default() };
        let stream = match first {
            Some(stream) => stream,
            None => {
                let again = connect_any(&[addr], &settings.bind, Protocol::Smtp, CONNECT).await;
                again.map_err(|e| unreachable(&evidence, &e.to_string()))?
            }
        };
        let mut peer = Self { stream, extensions: Extensions::default(), grade: Grade::Clear, evidence };
        let greeting = peer.reply(GREETING).await.map_err(|e| peer.lost(&e))?;
        if !greeting.is_ok() {
            return Err(peer.turned_away(&greeting).await);
        }
        peer.ehlo(&settings.helo).await?;
        Ok(peer)
    }

    async fn ehlo(&mut self, helo: &str) -> Result<(), Trouble> {
        let reply = self.ask(&format!("EHLO {helo}"), COMMAND).await.map_err(|e| self.lost(&e))?;
        if reply.is_ok() {
            self.extensions = Extensions::read(&reply);
            // What it offers is no answer to anything that the ledger asks.
            self.evidence.reply.clear();
            return Ok(());
        }
        // A server of before 1995, or one that plays it: good enough for what may go in the clear.
        let reply = self.ask(&format!("HELO {helo}"), COMMAND).await.map_err(|e| self.lost(&e))?;
        if reply.is_ok() {
            self.extensions = Extensions::default();
            return Ok(());
        }
        Err(self.turned_away(&reply).await)
    }

    /// STARTTLS, if it is offered. `Some` when the handshake failed and with it the connection.
    async fn encrypt(
        &mut self,
        settings: &Settings,
        host: &Host,
        hello: Hello,
    ) -> Result<Option<Error>, Trouble> {
        if !self.extensions.starttls {
            self.evidence.verified = "the server offers no encryption (STARTTLS)".into();
            return Ok(None);
        }
        let reply = self.ask("STARTTLS", COMMAND).await.map_err(|e| self.lost(&e))?;
        if reply.code != 220 {
            self.evidence.verified = "the server offers encryption and then refuses it".into();
            self.evidence.reply = reply.to_string();
            return Ok(None);
        }
        let names: Vec<&str> = host.names.iter().map(String::as_str).collect();
        let (facts, verdict) = match self.stream.secure(&settings.tls, &names, hello).await {
            Ok(done) => done,
            Err(error) => return Ok(Some(error)),
        };
        self.evidence.tls = facts.version.word().into();
        self.evidence.cipher = facts.cipher.into();
        (self.grade, self.evidence.verified) = match verdict {
            Verdict::Verified { name } if host.pinned => {
                (Grade::Pinned, format!("certificate for {name}, by route"))
            }
            Verdict::Verified { name } => {
                (Grade::WebpkiMx, format!("certificate for {name}, the name in unsigned DNS"))
            }
            Verdict::Unverified(why) => (Grade::Tls, why.to_string()),
        };
        // What was said before the handshake is void (RFC 3207 section 4.2).
        self.ehlo(&settings.helo).await?;
        Ok(None)
    }

    async fn at(mut self, floor: Grade) -> Result<Self, Trouble> {
        if self.grade >= floor {
            return Ok(self);
        }
        let evidence = std::mem::take(&mut self.evidence);
        self.quit().await;
        Err(Trouble::Below(evidence))
    }

    /// Whether this server can take such a message; why not, if it can't.
    pub(crate) async fn lacks<C: Content>(&self, letter: &Letter<C>) -> Option<&'static str> {
        if self.extensions.size.is_some_and(|most| most > 0 && most < letter.len()) {
            return Some("the message is larger than the server takes (SIZE)");
        }
        if !self.extensions.eight_bit && letter.is_eight_bit().await? {
            return Some("the message needs an 8-bit channel and the server has none (8BITMIME)");
        }
        None
    }

    /// One transaction: MAIL, every RCPT, DATA (RFC 5321 section 3.3). MAIL and RCPT go in one packet where the server
    /// takes that (RFC 2920).
    pub(crate) async fn send<C: Content>(&mut self, letter: &Letter<C>, to: &[&Address]) -> Said {
        if let Some(what) = self.lacks(letter).await {
            return Said::Lacks(what);
        }
        match self.transact(letter, to).await {
            Ok(replies) => Said::Each(replies),
            Err(error) => Said::Broke(error.to_string()),
        }
    }

    async fn transact<C: Content>(
        &mut self,
        letter: &Letter<C>,
        to: &[&Address],
    ) -> Result<Vec<Reply>, Broken> {
        let mut commands = vec![self.mail(letter)];
        commands.extend(to.iter().map(|address| format!("RCPT TO:<{address}>")));
        let mut replies = self.ask_all(&commands).await?.into_iter();
        let mail = replies.next().ok_or(Broken::Garbled("no reply"))?;
        if !mail.is_ok() {
            self.reset().await;
            return Ok(vec![mail; to.len()]);
        }
        let mut replies: Vec<Reply> = replies.collect();
        if !replies.iter().any(Reply::is_ok) {
            self.reset().await;
            return Ok(replies);
        }
        let data = self.ask("DATA", DATA).await?;
        let last = match data.code {
            354 => self.body(letter).await?,
            // "250" here would look as if the message had been taken.
            200..400 => return Err(Broken::Garbled("the reply to DATA makes no sense")),
            _ => data,
        };
        for reply in replies.iter_mut().filter(|r| r.is_ok()) {
            reply.clone_from(&last);
        }
        Ok(replies)
    }

    fn mail<C: Content>(&self, letter: &Letter<C>) -> String {
        let mut mail = format!("MAIL FROM:<{}>", letter.from);
        if self.extensions.size.is_some() {
            mail.push_str(&format!(" SIZE={}", letter.len()));
        }
        if self.extensions.eight_bit {
            mail.push_str(" BODY=8BITMIME");
        }
        mail
    }

    /// The commands, and a reply to each. After a refused MAIL the rest isn't asked where that can be helped.
    async fn ask_all(&mut self, commands: &[String]) -> Result<Vec<Reply>, Broken> {
        let mut replies = Vec::with_capacity(commands.len());
        if self.extensions.pipelining {
            for command in commands {
                self.stream.write(format!("{command}\r\n").as_bytes()).await?;
            }
            self.stream.flush().await?;
            for _ in commands {
                replies.push(self.reply(COMMAND).await?);
            }
            return Ok(replies);
        }
        for command in commands {
            let reply = self.ask(command, COMMAND).await?;
            let go_on = reply.is_ok() || !replies.is_empty();
            replies.push(reply);
            if !go_on {
                break;
            }
        }
        Ok(replies)
    }

    /// The body, and the reply to its end. A message that can't be read to its end is never ended: the server must not
    /// take half of one.
    async fn body<C: Content>(&mut self, letter: &Letter<C>) -> Result<Reply, Broken> {
        let (mut stuff, mut wire, mut at) = (Stuff::new(), Vec::new(), 0);
        self.stream.set_patience(BLOCK);
        while at < letter.len() {
            let piece = letter.piece(at).await.filter(|p| !p.is_empty()).ok_or(Broken::Unreadable)?;
            at += piece.len() as u64;
            stuff.feed(&piece, &mut wire);
            self.stream.write(&wire).await?;
            wire.clear();
        }
        stuff.finish(&mut wire);
        self.stream.write(&wire).await?;
        self.stream.flush().await?;
        self.reply(END).await
    }

    async fn reset(&mut self) {
        let _ = self.ask("RSET", COMMAND).await;
    }

    /// Says goodbye without waiting long for it.
    pub(crate) async fn quit(mut self) {
        let _ = self.ask("QUIT", QUIT).await;
        self.stream.close().await;
    }

    async fn ask(&mut self, command: &str, patience: Duration) -> Result<Reply, Broken> {
        self.stream.write(format!("{command}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.reply(patience).await
    }

    async fn reply(&mut self, patience: Duration) -> Result<Reply, Broken> {
        let mut reader = ReplyReader::new();
        loop {
            match self.stream.read_line(MAX_LINE, patience).await? {
                Line::TooLong => return Err(Broken::Garbled("a reply line is too long")),
                Line::Whole(line) => {
                    if let Some(reply) = reader.line(&line).map_err(Broken::Garbled)? {
                        self.evidence.reply = reply.to_string();
                        return Ok(reply);
                    }
                }
            }
        }
    }

    fn lost(&self, error: &Broken) -> Trouble {
        unreachable(&self.evidence, &error.to_string())
    }

    async fn turned_away(&mut self, reply: &Reply) -> Trouble {
        let _ = self.ask("QUIT", QUIT).await;
        let mut evidence = self.evidence.clone();
        evidence.reply = reply.to_string();
        Trouble::Unreachable(evidence)
    }
}

/// How a dialogue ends too early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Net(#[from] Error),
    #[error("{0}")]
    Garbled(&'static str),
    #[error("the message can't be read")]
    Unreadable,
}

fn unreachable(evidence: &Evidence, why: &str) -> Trouble {
    let mut evidence = evidence.clone();
    if evidence.reply.is_empty() {
        why.clone_into(&mut evidence.reply);
    } else {
        evidence.reply = format!("{why} (the last reply was {})", evidence.reply);
    }
    Trouble::Unreachable(evidence)
}

/// Whether a reply means "too large for me" and not "never": such a message is picked up instead. 552 is also said of a
/// full mailbox, which nothing but a DSN helps.
pub(crate) fn is_size(reply: &Reply) -> bool {
    match reply.enhanced {
        Some(enhanced) => enhanced == Enhanced(5, 3, 4),
        None => reply.code == 552,
    }
}

const MAX_LINE: usize = 4096;
// RFC 5321 section 4.5.3.2, except for the connection itself: there are other hosts to try.
pub(super) const CONNECT: Duration = Duration::from_secs(30);
const GREETING: Duration = Duration::from_secs(300);
const COMMAND: Duration = Duration::from_secs(300);
const DATA: Duration = Duration::from_secs(120);
const BLOCK: Duration = Duration::from_secs(180);
const END: Duration = Duration::from_secs(600);
const QUIT: Duration = Duration::from_secs(5);
