//! AUTH (RFC 4954): PLAIN and LOGIN, inside TLS only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpost_identity::sasl;
use sealpost_model::Secret;
use sealpost_net::Line;

use super::{Backend, Input, Kind, MAX_LINE, Next, Session, SignIn, silent, stopped};
use crate::codec::{Enhanced, Mechanism, Reply};

/// What a challenge led to.
enum Answer {
    Given(Secret<Vec<u8>>),
    Ended(Next),
}

impl<B: Backend> Session<'_, B> {
    /// RFC 4954 section 4.
    pub(super) async fn auth(
        &mut self,
        mechanism: Mechanism,
        initial: Option<Secret<String>>,
        stopping: &mut (impl Future<Output = ()> + Unpin),
    ) -> sealpost_net::Result<Next> {
        if let Some(reply) = self.no_auth() {
            return Ok(Next::Go(reply));
        }
        let (name, password) = match mechanism {
            Mechanism::Plain => match self.ask("", initial, stopping).await? {
                Answer::Ended(next) => return Ok(next),
                Answer::Given(answer) => match sasl::plain(answer.expose()) {
                    Some(pair) => pair,
                    None => return Ok(self.sign_in_failed(SignIn::Wrong)),
                },
            },
            Mechanism::Login => {
                let name = match self.ask("Username:", initial, stopping).await? {
                    Answer::Ended(next) => return Ok(next),
                    Answer::Given(name) => name,
                };
                let password = match self.ask("Password:", None, stopping).await? {
                    Answer::Ended(next) => return Ok(next),
                    Answer::Given(password) => password,
                };
                match (text(name.expose()), text(password.expose())) {
                    (Some(name), Some(password)) => (name, Secret::new(password)),
                    _ => return Ok(self.sign_in_failed(SignIn::Wrong)),
                }
            }
            Mechanism::Unknown => {
                return Ok(Next::Go(Reply::new(
                    504,
                    Enhanced(5, 5, 4),
                    "only PLAIN and LOGIN are known here",
                )));
            }
        };
        match self.config.backend.sign_in(self.stream.client(), name, password).await {
            Ok(login) => {
                self.login = Some(login);
                Ok(Next::Go(Reply::new(235, Enhanced(2, 7, 0), "welcome")))
            }
            Err(why) => Ok(self.sign_in_failed(why)),
        }
    }

    /// Why nobody may sign in now. The password has not been looked at, and on a connection without TLS not been asked for.
    fn no_auth(&self) -> Option<Reply> {
        if self.config.kind == Kind::Inbound {
            return Some(Reply::new(502, Enhanced(5, 5, 1), "nobody signs in on this port; use 587 or 465"));
        }
        if self.stream.tls().is_none() {
            return Some(Reply::new(530, Enhanced(5, 7, 0), "start TLS first (STARTTLS)"));
        }
        if self.login.is_some() {
            return Some(Reply::new(503, Enhanced(5, 5, 1), "you are signed in already"));
        }
        if self.envelope.is_some() {
            return Some(Reply::new(503, Enhanced(5, 5, 1), "not within a message"));
        }
        if !self.greeted.as_ref().is_some_and(|g| g.extended) {
            return Some(Reply::new(503, Enhanced(5, 5, 1), "say EHLO first"));
        }
        None
    }

    /// Sends a challenge and takes the answer, unless it came along with the command.
    async fn ask(
        &mut self,
        challenge: &str,
        initial: Option<Secret<String>>,
        stopping: &mut (impl Future<Output = ()> + Unpin),
    ) -> sealpost_net::Result<Answer> {
        let answer = match initial {
            // "=" is the empty answer (RFC 4954 section 4).
            Some(initial) if initial.expose() == "=" => Some(Vec::new()),
            Some(initial) => STANDARD.decode(initial.expose()).ok(),
            None => {
                self.say(&Reply::plain(334, &STANDARD.encode(challenge))).await?;
                self.stream.flush().await?;
                match self.line(MAX_LINE, stopping).await? {
                    Input::Stopped => return Ok(Answer::Ended(Next::Close(stopped()))),
                    Input::Silent => return Ok(Answer::Ended(Next::Close(silent()))),
                    Input::Line(Line::TooLong) => None,
                    Input::Line(Line::Whole(mut line)) => {
                        let answer = line.strip_suffix(b"\r\n").and_then(|l| match l {
                            b"*" => None,
                            l => STANDARD.decode(l).ok(),
                        });
                        line.fill(0);
                        answer
                    }
                }
            }
        };
        Ok(match answer {
            Some(answer) => Answer::Given(Secret::new(answer)),
            None => {
                self.bad += 1;
                Answer::Ended(Next::Go(Reply::new(501, Enhanced(5, 5, 2), "the sign-in was broken off")))
            }
        })
    }

    fn sign_in_failed(&mut self, why: SignIn) -> Next {
        self.sign_ins += 1;
        Next::Go(match why {
            SignIn::Wrong => Reply::new(535, Enhanced(5, 7, 8), "the name or the password is wrong"),
            SignIn::Throttled(wait) => {
                let minutes = wait.as_secs().div_ceil(60).max(1);
                let text = format!("too many failed sign-ins; try again in {minutes} min");
                Reply::new(454, Enhanced(4, 7, 0), &text)
            }
            SignIn::AppPassword => Reply::new(
                534,
                Enhanced(5, 7, 9),
                "mail programs need an app password; make one in the web settings",
            ),
            SignIn::Disabled => {
                Reply::new(535, Enhanced(5, 7, 13), "this account may not sign in; ask an administrator")
            }
            SignIn::Temporary => {
                Reply::new(454, Enhanced(4, 7, 0), "sign-in does not work at the moment; try again")
            }
        })
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok().filter(|t| !t.contains('\0'))
}
