//! AUTHENTICATE PLAIN (RFC 9051 section 6.2.2, RFC 4616, RFC 4959).

use sealpost_identity::sasl;
use sealpost_message::decode::base64;
use sealpost_model::Secret;
use zeroize::{Zeroize, Zeroizing};

use super::login;
use crate::session::Session;
use crate::session::reply::{Halt, Reply};

/// Longer than any name and password that the directory holds.
const LONGEST: usize = 4096;

pub(super) async fn authenticate(
    s: &mut Session,
    mechanism: &str,
    initial: Option<Secret<String>>,
) -> Result<Reply, Halt> {
    login::may_sign_in(s)?;
    if mechanism != "PLAIN" {
        return Err(Reply::no("CANNOT", "The only mechanism here is PLAIN").into());
    }
    let response = match initial {
        Some(initial) => Zeroizing::new(initial.expose().as_bytes().to_vec()),
        None => {
            s.link.w.raw("+ \r\n");
            let mut line = s.link.exchange_line(LONGEST).await?.map_err(|why| Reply::bad(why.to_string()))?;
            let response = Zeroizing::new(line.to_vec());
            line.zeroize();
            response
        }
    };
    if response.as_slice() == b"*" {
        return Err(Reply::bad("AUTHENTICATE was cancelled").into());
    }
    let message = Zeroizing::new(base64(&response));
    match sasl::plain(&message) {
        Some((name, password)) => login::sign_in(s, name, password).await,
        None => Err(Reply::bad("That is no PLAIN response").into()),
    }
}
