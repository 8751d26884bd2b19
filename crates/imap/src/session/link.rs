//! The connection under a session: framed input, buffered output, timers.

use std::time::Duration;

use bytes::BytesMut;
use sealpost_identity::{Identity, Login};
use sealpost_model::AccountId;
use sealpost_net::{Stop, Stream};
use sealpost_policy::Right;
use sealpost_store::Watch;
use tokio::time::Instant;

use super::reply::End;
use crate::codec::{Body, Frame, Framer, Limits, LineFault, Writer};

/// RFC 9051 section 5.4 wants 30 minutes at least (S46).
const AUTOLOGOUT: Duration = Duration::from_secs(30 * 60);
/// Until somebody has signed in, a client that says nothing is in the way.
const BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// And all of it has to be done in this time, however slowly the bytes come.
const TO_LOG_IN: Duration = Duration::from_secs(3 * 60);
/// Output that is sent without waiting for the command's end.
const SPILL: usize = 16 * 1024;

pub(crate) struct Link {
    pub stream: Stream,
    pub framer: Framer,
    pub w: Writer,
    pub stop: Stop,
    began: Instant,
    guard: Option<Guard>,
}

/// Sees that a login that was ended (S48) does not live on in its connections.
struct Guard {
    watch: Watch,
    identity: Identity,
    login: Login,
    /// The mailbox that is open by a grant, and how far.
    grant: Option<(AccountId, Right)>,
    /// Something ended, and it was not yet looked whether it was this.
    due: bool,
}

impl Guard {
    /// Returns when the login is good no more. May be dropped and called again: nothing is lost.
    async fn ended(&mut self) {
        loop {
            if !self.due {
                self.watch.changed().await;
                self.due = true;
            }
            match self.identity.still_valid(&self.login).await {
                Ok(false) => return,
                Ok(true) => {
                    if let Some((account, right)) = self.grant {
                        match self.identity.rights_on(self.login.person, account).await {
                            Ok(rights) if rights.right() >= Some(right) => {}
                            Ok(_) => return,
                            Err(error) => tracing::warn!(%error, "can't check a grant"),
                        }
                    }
                }
                // It can't be said now, and the log below says why.
                Err(error) => tracing::warn!(%error, "can't check a login"),
            }
            self.due = false;
        }
    }
}

impl Link {
    pub fn new(stream: Stream, stop: Stop) -> Self {
        let framer = Framer::new(Limits::BEFORE_LOGIN);
        Self { stream, framer, w: Writer::default(), stop, began: Instant::now(), guard: None }
    }

    /// From now on somebody is signed in.
    pub fn signed_in(&mut self, identity: &Identity, login: &Login) {
        let (watch, identity, login) = (identity.watch_sessions(), identity.clone(), login.clone());
        self.guard = Some(Guard { watch, identity, login, grant: None, due: false });
        self.framer.limit(Limits::AFTER_LOGIN);
    }

    /// From now on this mailbox is open by a grant, or the person's own is.
    pub fn opened(&mut self, grant: Option<(AccountId, Right)>) {
        if let Some(guard) = &mut self.guard {
            guard.grant = grant;
        }
    }

    /// The next thing that the client wants. What was answered so far is sent before waiting, and only then: the
    /// answers to pipelined commands travel together.
    pub async fn frame(&mut self) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.framer.next() {
                return Ok(frame);
            }
            self.receive().await?;
        }
    }

    /// The next line of an exchange.
    pub async fn exchange_line(&mut self, longest: usize) -> Result<Result<BytesMut, LineFault>, End> {
        loop {
            if let Some(line) = self.framer.exchange_line(longest) {
                return Ok(line);
            }
            self.receive().await?;
        }
    }

    /// The next piece of a message.
    pub async fn body(&mut self) -> Result<Body, End> {
        loop {
            match self.framer.body() {
                Body::Wait => self.receive().await?,
                other => return Ok(other),
            }
        }
    }

    /// Waits for more input and hands it to the framer. May be dropped: nothing is lost.
    pub async fn receive(&mut self) -> Result<(), End> {
        self.flush().await?;
        if !self.framer.has_input() {
            // A client that idles shall not hold the largest buffer it ever filled.
            self.framer.input = BytesMut::new();
        }
        let patience = match self.guard {
            Some(_) => AUTOLOGOUT,
            None => BEFORE_LOGIN.min(TO_LOG_IN.saturating_sub(self.began.elapsed())),
        };
        let ended = async {
            match &mut self.guard {
                Some(guard) => guard.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ended => return Err(End::Revoked),
            more = self.stream.more(patience) => more?,
            () = self.stop.stopping() => return Err(End::Stopping),
        }
        let arrived = self.stream.take_buffered(usize::MAX);
        if self.framer.has_input() {
            self.framer.input.extend_from_slice(&arrived);
        } else {
            self.framer.input = arrived;
        }
        Ok(())
    }

    /// Sends what there is.
    pub async fn flush(&mut self) -> Result<(), End> {
        self.queue().await?;
        self.stream.flush().await?;
        self.w.out = BytesMut::new();
        Ok(())
    }

    /// Sends what there is if it is a good deal: waits for a client that does not read.
    pub async fn spill(&mut self) -> Result<(), End> {
        if self.w.out.len() >= SPILL { self.queue().await } else { Ok(()) }
    }

    /// Sends `bytes` behind what was written.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.len() < SPILL {
            self.w.raw(bytes);
            return self.spill().await;
        }
        self.queue().await?;
        Ok(self.stream.write(bytes).await?)
    }

    async fn queue(&mut self) -> Result<(), End> {
        if !self.w.out.is_empty() {
            self.stream.write(&self.w.out).await?;
            self.w.out.clear();
        }
        Ok(())
    }
}
