//! One connection to us: greets, takes commands, and says what the backend decided.
//!
//! Three doors share it. **Port 25** takes mail for our people from anybody: TLS is offered and can't be required
//! (RFC 3207 section 4), nobody signs in, nothing is relayed. **587** wants STARTTLS, then AUTH, then mail; **465** is the
//! same with TLS from the first byte (RFC 8314).

mod auth;
mod backend;
mod data;
mod services;
mod verbs;
mod xclient;

use std::sync::Arc;
use std::time::Duration;

use sealpost_crypto::Random;
use sealpost_model::{Address, ReversePath, SharedClock, TenantId};
use sealpost_net::{Line, Listener, Rate, Stop, Stream};
use tokio::time::Instant;

use crate::codec::{self, Bad, Command, Enhanced, Reply, XClient};

pub use backend::{Arrived, Backend, Sender, SignIn};
pub use services::Services;

/// What a door is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Mail from outside for our people: port 25.
    Inbound,
    /// Mail from our people: 587 and 465. Nothing goes without TLS and a sign-in.
    Submission,
}

/// What a door needs.
pub struct Config<B> {
    /// What it is for.
    pub kind: Kind,
    /// Our name, in the greeting and in trace fields.
    pub hostname: String,
    /// Who decides.
    pub backend: B,
    /// The time, for trace fields.
    pub clock: SharedClock,
    /// For the ids of trace fields.
    pub random: Random,
    /// Where `<Postmaster>` without a domain goes. Without it: to our host name, or the first domain above it that is ours.
    pub postmaster: Option<Address>,
    /// How many recipients one message may have. RFC 5321 section 4.5.3.1.8 wants at least 100.
    pub recipients: usize,
    /// How long a client may be silent (S46; RFC 5321 section 4.5.3.2.7 wants at least 5 minutes).
    pub idle: Duration,
    /// How many messages a network may begin on [`Kind::Inbound`].
    pub mails: Rate,
}

impl<B> Config<B> {
    /// A door with the usual limits: 1,000 recipients, 5 minutes.
    pub fn new(kind: Kind, hostname: &str, backend: B, clock: SharedClock, random: Random) -> Self {
        Self {
            kind,
            hostname: hostname.to_owned(),
            backend,
            clock,
            random,
            postmaster: None,
            recipients: 1000,
            idle: Duration::from_secs(300),
            mails: Rate::unlimited(),
        }
    }
}

/// Serves a port until `stop`. A port of [`Kind::Submission`] must be opened with STARTTLS or implicit TLS, or nobody can
/// sign in.
pub async fn serve<B: Backend>(listener: Listener, config: Arc<Config<B>>, stop: Stop) {
    let listener = listener.busy(b"421 4.3.2 too many connections; try again later\r\n");
    listener
        .serve(stop, move |stream, stop| {
            let config = Arc::clone(&config);
            async move { converse(stream, &config, stop).await }
        })
        .await;
}

/// One connection, from greeting to end.
pub async fn converse<B: Backend>(stream: Stream, config: &Config<B>, stop: Stop) {
    let mut session = Session {
        stream,
        config,
        claimed: XClient::default(),
        greeted: None,
        login: None,
        envelope: None,
        bad: 0,
        idling: 0,
        refused: 0,
        sign_ins: 0,
        began: Instant::now(),
    };
    let stopping = stop.stopping();
    tokio::pin!(stopping);
    let why = match session.run(&mut stopping).await {
        Ok(why) => why,
        Err(error) => {
            tracing::debug!(ip = %session.stream.client().ip, %error, "session broke off");
            "connection-lost"
        }
    };
    let Session { stream, login, .. } = session;
    let client = *stream.client();
    stream.close().await;
    if let Some(login) = login {
        config.backend.sign_out(&client, login, why).await;
    }
}

/// A connection in progress.
struct Session<'a, B: Backend> {
    stream: Stream,
    config: &'a Config<B>,
    /// What a proxy in front of us said of its client's introduction.
    claimed: XClient,
    greeted: Option<Greeting>,
    login: Option<B::Login>,
    envelope: Option<Envelope>,
    /// Lines that were no commands.
    bad: u32,
    /// Commands that led nowhere since the last message.
    idling: u32,
    /// Recipients that were refused.
    refused: u32,
    /// Sign-ins that failed.
    sign_ins: u32,
    began: Instant,
}

/// How the client introduced itself.
struct Greeting {
    name: String,
    extended: bool,
}

/// A message's envelope while it is put together.
struct Envelope {
    from: ReversePath,
    to: Vec<Address>,
    /// The organisation that answers for the message.
    tenant: Option<TenantId>,
}

/// What happens behind a reply.
enum Next {
    /// The next command.
    Go(Reply),
    /// The TLS handshake.
    Handshake(Reply),
    /// The end of the connection.
    Close(Reply),
}

impl<B: Backend> Session<'_, B> {
    /// Converses until the end, and says why it ended.
    async fn run(
        &mut self,
        stopping: &mut (impl Future<Output = ()> + Unpin),
    ) -> sealpost_net::Result<&'static str> {
        self.say(&self.welcome()).await?;
        loop {
            let line = match self.line(MAX_LINE, stopping).await? {
                Input::Line(line) => line,
                Input::Stopped => return self.bye(stopped(), "server-stopped").await,
                Input::Silent => return self.bye(silent(), "idle").await,
            };
            let next = match line {
                Line::TooLong => self.bad(Bad::Line),
                Line::Whole(mut line) => match codec::parse(&line) {
                    Err(bad) => self.bad(bad),
                    Ok(command) => {
                        let next = self.command(command, stopping).await;
                        // It may have held a password.
                        line.fill(0);
                        next?
                    }
                },
            };
            match next {
                Next::Go(reply) => self.say(&reply).await?,
                Next::Close(reply) if reply.code == 221 => return self.bye(reply, "signed-out").await,
                Next::Close(reply) => return self.bye(reply, "cut").await,
                Next::Handshake(reply) => {
                    self.say(&reply).await?;
                    self.stream.upgrade().await?;
                }
            }
            if let Some(reply) = self.enough() {
                return self.bye(reply, "cut").await;
            }
        }
    }

    async fn command(
        &mut self,
        command: Command,
        stopping: &mut (impl Future<Output = ()> + Unpin),
    ) -> sealpost_net::Result<Next> {
        self.idling += 1;
        Ok(match command {
            Command::Ehlo(name) => self.ehlo(name),
            Command::Helo(name) => self.helo(name),
            Command::StartTls => self.starttls(),
            Command::XClient(said) => self.xclient(said),
            Command::Auth(mechanism, initial) => return self.auth(mechanism, initial, stopping).await,
            Command::Mail(from, params) => self.mail(from, params).await,
            Command::Rcpt(to) => self.rcpt(to).await,
            Command::Data => return self.data().await,
            Command::Rset => self.rset(),
            Command::Noop => Next::Go(ok("at your service")),
            Command::Vrfy => Next::Go(Reply::new(252, Enhanced(2, 5, 0), "send the message and see")),
            Command::Help => Next::Go(Reply::new(214, Enhanced(2, 0, 0), "see RFC 5321")),
            Command::Quit => Next::Close(Reply::new(221, Enhanced(2, 0, 0), "bye")),
        })
    }

    fn welcome(&self) -> Reply {
        Reply::plain(220, &format!("{} ESMTP Sealpost", self.config.hostname))
    }

    /// The reply to a line that is no command.
    fn bad(&mut self, bad: Bad) -> Next {
        self.bad += 1;
        Next::Go(match bad {
            Bad::Line | Bad::Unknown => Reply::new(500, Enhanced(5, 5, 2), &bad.to_string()),
            Bad::Syntax(_) => Reply::new(501, Enhanced(5, 5, 4), &bad.to_string()),
            Bad::Parameter => Reply::new(555, Enhanced(5, 5, 4), &bad.to_string()),
            Bad::Sender(_) => Reply::new(553, Enhanced(5, 1, 7), &bad.to_string()),
            Bad::Recipient(_) => Reply::new(553, Enhanced(5, 1, 3), &bad.to_string()),
        })
    }

    /// Whether this client has had its share.
    fn enough(&self) -> Option<Reply> {
        let too_many = self.bad > MAX_BAD || self.refused > MAX_REFUSED || self.sign_ins >= MAX_SIGN_INS;
        if too_many || self.idling > MAX_IDLING {
            return Some(Reply::new(
                421,
                Enhanced(4, 7, 0),
                "too many errors; come back when they are mended",
            ));
        }
        (self.began.elapsed() > MAX_LIFE)
            .then(|| Reply::new(421, Enhanced(4, 4, 2), "this session is too old"))
    }

    /// Queues a reply. It is sent when no further command is there already (RFC 2920 section 3.2).
    async fn say(&mut self, reply: &Reply) -> sealpost_net::Result<()> {
        self.stream.write(&reply.print()).await
    }

    async fn bye(&mut self, reply: Reply, why: &'static str) -> sealpost_net::Result<&'static str> {
        self.say(&reply).await?;
        self.stream.flush().await?;
        Ok(why)
    }

    /// The next line, after sending what is queued if it has to be waited for.
    async fn line(
        &mut self,
        max: usize,
        stopping: &mut (impl Future<Output = ()> + Unpin),
    ) -> sealpost_net::Result<Input> {
        if memchr::memchr(b'\n', self.stream.buffered()).is_none() {
            self.stream.flush().await?;
        }
        // Who is here to sign in does so. A mail server that has a message may think about it for longer.
        let before_login = self.config.kind == Kind::Submission && self.login.is_none();
        let idle = if before_login {
            self.config.idle.min(BEFORE_LOGIN).min(TO_LOG_IN.saturating_sub(self.began.elapsed()))
        } else {
            self.config.idle
        };
        tokio::select! {
            biased;
            () = stopping => Ok(Input::Stopped),
            line = self.stream.read_line(max, idle) => match line {
                Ok(line) => Ok(Input::Line(line)),
                Err(sealpost_net::Error::Idle) => Ok(Input::Silent),
                Err(error) => Err(error),
            },
        }
    }
}

/// What came instead of a command, or a command.
enum Input {
    Line(Line),
    Stopped,
    Silent,
}

fn stopped() -> Reply {
    Reply::new(421, Enhanced(4, 3, 2), "this server is being restarted; try again in a moment")
}

fn silent() -> Reply {
    Reply::new(421, Enhanced(4, 4, 2), "nothing was said for too long")
}

fn ok(text: &str) -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), text)
}

/// RFC 5321 section 4.5.3.1.4 asks for 512, RFC 4954 section 4 for 12,288 where a sign-in may be long.
const MAX_LINE: usize = 12_288;
const MAX_BAD: u32 = 10;
const MAX_REFUSED: u32 = 50;
const MAX_IDLING: u32 = 3000;
const MAX_SIGN_INS: u32 = 3;
const BEFORE_LOGIN: Duration = Duration::from_secs(60);
const TO_LOG_IN: Duration = Duration::from_secs(3 * 60);
const MAX_LIFE: Duration = Duration::from_secs(12 * 3600);
