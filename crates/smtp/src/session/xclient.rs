//! XCLIENT: a proxy in a configured network says whose connection it is (S52). From anybody else it is an error.

use super::{Backend, Next, Session};
use crate::codec::{Enhanced, Reply, XClient};

impl<B: Backend> Session<'_, B> {
    /// The session begins anew, as that client's: whatever was said before was the proxy's. TLS stays as it is, since it
    /// is what carries the words to us.
    pub(super) fn xclient(&mut self, said: XClient) -> Next {
        if !self.stream.may_redirect() {
            self.bad += 1;
            return Next::Go(Reply::new(550, Enhanced(5, 7, 0), "XCLIENT is not believed from your address"));
        }
        if self.envelope.is_some() || self.login.is_some() {
            return Next::Go(Reply::new(503, Enhanced(5, 5, 1), "XCLIENT comes before sign-in and mail"));
        }
        let now = *self.stream.client();
        let (ip, port) = (said.ip.unwrap_or(now.ip), said.port.unwrap_or(now.port));
        if (ip, port) != (now.ip, now.port) && !self.stream.redirect(ip, port) {
            return Next::Close(Reply::new(421, Enhanced(4, 3, 2), "too many connections; try again later"));
        }
        self.claimed = XClient {
            helo: said.helo.or(self.claimed.helo.take()),
            extended: said.extended.or(self.claimed.extended),
            ..XClient::default()
        };
        self.greeted = None;
        Next::Go(self.welcome())
    }
}
