//! The verbs, one method each; DATA and AUTH have files of their own.

use sealpost_model::{Address, ReversePath};

use super::{Backend, Config, Envelope, Greeting, Kind, Next, Sender, Session, ok};
use crate::codec::{Enhanced, Forward, MailParams, Reply, XCLIENT_OFFER};

impl<B: Backend> Session<'_, B> {
    /// RFC 5321 section 4.1.1.1. Forgets a transaction in progress.
    pub(super) fn ehlo(&mut self, name: String) -> Next {
        let mut lines = vec![
            format!("{} greets {name}", self.config.hostname),
            "PIPELINING".into(),
            format!("SIZE {}", self.config.backend.message_size()),
            "8BITMIME".into(),
            "ENHANCEDSTATUSCODES".into(),
        ];
        if self.stream.can_upgrade() {
            lines.push("STARTTLS".into());
        }
        if self.config.kind == Kind::Submission && self.stream.tls().is_some() && self.login.is_none() {
            lines.push("AUTH PLAIN LOGIN".into());
        }
        if self.stream.may_redirect() && self.login.is_none() {
            lines.push(XCLIENT_OFFER.into());
        }
        self.greeted = Some(self.greeting(name, true));
        self.envelope = None;
        Next::Go(Reply::list(250, lines))
    }

    /// RFC 5321 section 4.1.1.1, as in the old days.
    pub(super) fn helo(&mut self, name: String) -> Next {
        self.greeted = Some(self.greeting(name, false));
        self.envelope = None;
        Next::Go(Reply::plain(250, &self.config.hostname))
    }

    /// What the client called itself: as a proxy tells it, if one does.
    fn greeting(&self, name: String, extended: bool) -> Greeting {
        let name = self.claimed.helo.clone().unwrap_or(name);
        Greeting { name, extended: self.claimed.extended.unwrap_or(extended) }
    }

    /// RFC 3207. All that was said before the handshake is forgotten (section 4.2), and nothing may have been said behind
    /// the command.
    pub(super) fn starttls(&mut self) -> Next {
        if self.stream.tls().is_some() {
            return Next::Go(Reply::new(503, Enhanced(5, 5, 1), "the connection is encrypted already"));
        }
        if !self.stream.can_upgrade() {
            return Next::Go(Reply::new(454, Enhanced(4, 7, 0), "TLS is not available here"));
        }
        if !self.stream.buffered().is_empty() {
            return Next::Close(Reply::new(
                503,
                Enhanced(5, 5, 1),
                "nothing may follow STARTTLS before the handshake",
            ));
        }
        self.greeted = None;
        self.login = None;
        self.envelope = None;
        Next::Handshake(Reply::new(220, Enhanced(2, 0, 0), "go ahead"))
    }

    /// RFC 5321 section 4.1.1.2.
    pub(super) async fn mail(&mut self, from: ReversePath, params: MailParams) -> Next {
        if self.config.kind == Kind::Submission && self.login.is_none() && self.stream.tls().is_some() {
            self.login = self.config.backend.by_network(self.stream.client()).await;
        }
        if let Some(reply) = self.not_yet() {
            return Next::Go(reply);
        }
        if self.envelope.is_some() {
            return Next::Go(Reply::new(503, Enhanced(5, 5, 1), "a message is in progress; RSET forgets it"));
        }
        if let Some(login) = &self.login
            && !self.config.backend.still_valid(login).await
        {
            return Next::Close(Reply::new(421, Enhanced(4, 7, 0), "your sign-in has ended; sign in again"));
        }
        let most = self.config.backend.message_size();
        if params.size.is_some_and(|size| size > most) {
            return Next::Go(too_large(most));
        }
        if self.config.kind == Kind::Inbound
            && let Err(wait) = self.config.mails.take(self.stream.client().ip)
        {
            self.refused += 1;
            let text = format!("too much mail from your network; go on in {} s", wait.as_secs() + 1);
            return Next::Go(Reply::new(450, Enhanced(4, 7, 1), &text));
        }
        if !self.config.backend.has_room() {
            return Next::Go(no_room());
        }
        self.envelope = Some(Envelope { from, to: Vec::new(), tenant: None });
        Next::Go(Reply::new(250, Enhanced(2, 1, 0), "sender noted"))
    }

    /// RFC 5321 section 4.1.1.3.
    pub(super) async fn rcpt(&mut self, to: Forward) -> Next {
        if let Some(reply) = self.not_yet() {
            return Next::Go(reply);
        }
        let Some(envelope) = &mut self.envelope else {
            return Next::Go(Reply::new(503, Enhanced(5, 5, 1), "MAIL FROM comes first"));
        };
        let to = match to {
            Forward::To(address) => address,
            Forward::Postmaster => match self.config.postmaster().await {
                Some(address) => address,
                None => {
                    return Next::Go(Reply::new(550, Enhanced(5, 1, 1), "no postmaster has been named here"));
                }
            },
        };
        if envelope.to.iter().any(|known| known.same(&to)) {
            return Next::Go(Reply::new(250, Enhanced(2, 1, 5), "recipient noted already"));
        }
        if envelope.to.len() >= self.config.recipients {
            return Next::Go(Reply::new(
                452,
                Enhanced(4, 5, 3),
                "too many recipients; send to the rest separately",
            ));
        }
        let sender =
            Sender { client: self.stream.client(), login: self.login.as_ref(), from: &envelope.from };
        match self.config.backend.recipient(sender, &to).await {
            // One message belongs to one organisation: the others' recipients get a transaction of their own.
            Ok(tenant) if envelope.tenant.is_some_and(|first| first != tenant) => Next::Go(Reply::new(
                452,
                Enhanced(4, 5, 3),
                "this recipient belongs to another organisation; send to it separately",
            )),
            Ok(tenant) => {
                envelope.tenant = Some(tenant);
                envelope.to.push(to);
                Next::Go(Reply::new(250, Enhanced(2, 1, 5), "recipient noted"))
            }
            Err(reply) => {
                self.refused += 1;
                Next::Go(reply)
            }
        }
    }

    /// RFC 5321 section 4.1.1.5.
    pub(super) fn rset(&mut self) -> Next {
        self.envelope = None;
        Next::Go(ok("forgotten"))
    }

    /// What must be done before mail is taken.
    pub(super) fn not_yet(&self) -> Option<Reply> {
        if self.config.kind == Kind::Submission {
            if self.stream.tls().is_none() {
                return Some(Reply::new(530, Enhanced(5, 7, 0), "start TLS first (STARTTLS)"));
            }
            if self.login.is_none() {
                return Some(Reply::new(530, Enhanced(5, 7, 0), "sign in first (AUTH)"));
            }
        }
        if self.greeted.is_none() {
            return Some(Reply::new(503, Enhanced(5, 5, 1), "say EHLO first"));
        }
        None
    }
}

impl<B: Backend> Config<B> {
    /// Where `<Postmaster>` goes (RFC 5321 section 4.5.1): the setting, or `postmaster@` our host name or a domain above it.
    async fn postmaster(&self) -> Option<Address> {
        if let Some(address) = &self.postmaster {
            return Some(address.clone());
        }
        let mut domain = Some(self.hostname.as_str());
        while let Some(name) = domain {
            if let Ok(address) = Address::parse(&format!("postmaster@{name}"))
                && self.backend.is_ours(&address).await
            {
                return Some(address);
            }
            domain = name.split_once('.').map(|(_, above)| above);
        }
        None
    }
}

/// The disk is nearly full (RFC 5321 section 4.2.3, RFC 3463 X.3.1).
pub(super) fn no_room() -> Reply {
    Reply::new(452, Enhanced(4, 3, 1), "there is no room for new mail at the moment; try again later")
}

pub(super) fn too_large(most: u64) -> Reply {
    Reply::new(
        552,
        Enhanced(5, 3, 4),
        &format!("the message is larger than {most} bytes, the most that is taken"),
    )
}
