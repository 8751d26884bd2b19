//! DATA (RFC 5321 section 4.1.1.4): the body goes to the backend while it arrives, and `250` means that it is kept.

use std::time::Duration;

use sealpost_message::headers::{Trace, received};
use sealpost_net::Error;
use tokio::time::Instant;

use super::verbs::no_room;
use super::{Arrived, Backend, Next, Sender, Session, silent};
use crate::codec::{Enhanced, Reply, Unstuff};

impl<B: Backend> Session<'_, B> {
    pub(super) async fn data(&mut self) -> sealpost_net::Result<Next> {
        if let Some(reply) = self.not_yet() {
            return Ok(Next::Go(reply));
        }
        let Some(envelope) = self.envelope.take() else {
            return Ok(Next::Go(Reply::new(503, Enhanced(5, 5, 1), "MAIL FROM comes first")));
        };
        // A client that pipelined may not know yet that each recipient was refused.
        let Some(tenant) = envelope.tenant else {
            self.envelope = Some(envelope);
            return Ok(Next::Go(Reply::new(554, Enhanced(5, 5, 1), "no recipient was accepted")));
        };
        if !self.config.backend.has_room() {
            return Ok(Next::Go(no_room()));
        }
        let id = format!("{:016x}", u64::from_be_bytes(self.config.random.bytes()));
        let trace = self.trace(&id);
        let client = *self.stream.client();
        let backend = &self.config.backend;
        let sender = Sender { client: &client, login: self.login.as_ref(), from: &envelope.from };
        let mut body = Some(backend.begin(sender, tenant, trace));
        let mut refused = None;

        self.stream
            .write(&Reply::plain(354, "send the message, and a line with a dot at its end").print())
            .await?;
        self.stream.flush().await?;
        let began = Instant::now();
        let mut decoder = Unstuff::new();
        let mut piece = Vec::new();
        loop {
            // A body that breaks the rules may never end by the letter: its sender waits for our verdict then.
            let patience = if decoder.broken().is_some() { BROKEN_PATIENCE } else { self.config.idle };
            let input = match self.stream.fill(patience).await {
                Ok(input) => input,
                Err(Error::Idle) => {
                    return Ok(Next::Close(
                        decoder.broken().map_or_else(silent, |how| broken(&how.to_string())),
                    ));
                }
                Err(error) => return Err(error),
            };
            let step = decoder.feed(input, &mut piece);
            self.stream.consume(step.consumed);
            if decoder.broken().is_some() {
                body = None;
            }
            if let Some(taking) = &mut body
                && let Err(reply) = backend.write(taking, &piece).await
            {
                refused = Some(reply);
                body = None;
            }
            piece.clear();
            if step.done {
                break;
            }
            if began.elapsed() > MAX_DATA {
                return Ok(Next::Close(silent()));
            }
        }
        let Some(body) = body else {
            self.refused += 1;
            return Ok(Next::Go(match (decoder.broken(), refused) {
                (None, Some(reply)) => reply,
                (how, _) => broken(&how.map(|h| h.to_string()).unwrap_or_default()),
            }));
        };
        let reply = match backend.accept(Arrived { sender, tenant, to: envelope.to, body }).await {
            Ok(text) => {
                self.idling = 0;
                Reply::new(250, Enhanced(2, 0, 0), &text)
            }
            Err(reply) => {
                self.refused += 1;
                reply
            }
        };
        tracing::info!(protocol = client.protocol.word(), ip = %client.ip, trace = id, code = reply.code, "message");
        Ok(Next::Go(reply))
    }

    /// The `Received` field (RFC 5321 section 4.4, protocol names of RFC 3848). It names nobody: neither who signed in and
    /// from where (the log has both) nor a recipient, who might be a Bcc.
    fn trace(&self, id: &str) -> String {
        let client = self.stream.client();
        let greeting = self.greeted.as_ref();
        let with = match (greeting.is_some_and(|g| g.extended), client.tls.is_some(), self.login.is_some()) {
            (false, _, _) => "SMTP",
            (true, false, _) => "ESMTP",
            (true, true, false) => "ESMTPS",
            (true, true, true) => "ESMTPSA",
        };
        received(&Trace {
            helo: greeting.map_or("unknown", |g| g.name.as_str()),
            ip: self.login.is_none().then_some(client.ip),
            by: &self.config.hostname,
            with,
            tls: client.tls.map(|t| (t.version.word(), t.cipher)),
            id,
            time: self.config.clock.now(),
        })
    }
}

fn broken(how: &str) -> Reply {
    Reply::new(554, Enhanced(5, 6, 0), &format!("the message was not taken: {how} (RFC 5321 section 2.3.8)"))
}

const BROKEN_PATIENCE: Duration = Duration::from_secs(20);
const MAX_DATA: Duration = Duration::from_secs(3600);
