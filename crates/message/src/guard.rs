//! Strict check of line ends for what arrives over SMTP: the other half of "no smuggling" (RFC 5321 section 2.3.8).

use sealpost_model::Fault;

/// What was found first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Smuggling {
    /// CR that no LF follows.
    #[error("a carriage return stands alone in the message; lines must end with CR LF")]
    BareCr,
    /// LF that no CR precedes.
    #[error("a line feed stands alone in the message; lines must end with CR LF")]
    BareLf,
    /// NUL.
    #[error("the message contains a NUL byte")]
    Nul,
}

impl Smuggling {
    /// Whose fault it is.
    pub const fn fault(self) -> Fault {
        Fault::Peer
    }
}

/// Watches a stream of bytes for them; the cuts don't matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guard {
    cr: bool,
}

impl Guard {
    /// A guard at the start of a message.
    pub const fn new() -> Self {
        Self { cr: false }
    }

    /// Looks at the next piece.
    ///
    /// # Errors
    /// The first thing found; the guard is of no use afterwards.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Smuggling> {
        let mut rest = piece;
        if self.cr && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").ok_or(Smuggling::BareCr)?;
            self.cr = false;
        }
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
            rest = match rest.get(at..).unwrap_or_default() {
                [b'\r', b'\n', after @ ..] => after,
                [b'\r'] => {
                    self.cr = true;
                    return Ok(());
                }
                [b'\r', ..] => return Err(Smuggling::BareCr),
                [b'\n', ..] => return Err(Smuggling::BareLf),
                _ => return Err(Smuggling::Nul),
            };
        }
        Ok(())
    }

    /// The stream is over.
    ///
    /// # Errors
    /// [`Smuggling::BareCr`] when its last byte was a CR.
    pub const fn finish(self) -> Result<(), Smuggling> {
        if self.cr { Err(Smuggling::BareCr) } else { Ok(()) }
    }
}

/// Checks a message that is in memory whole.
///
/// # Errors
/// The first thing found.
pub fn check(message: &[u8]) -> Result<(), Smuggling> {
    let mut guard = Guard::new();
    guard.feed(message)?;
    guard.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_them() {
        assert_eq!(check(b"a\r\n\r\nb\r\n"), Ok(()));
        assert_eq!(check(b""), Ok(()));
        assert_eq!(check(b"a\n"), Err(Smuggling::BareLf));
        assert_eq!(check(b"a\r"), Err(Smuggling::BareCr));
        assert_eq!(check(b"a\r\r\n"), Err(Smuggling::BareCr));
        assert_eq!(check(b"a\rb"), Err(Smuggling::BareCr));
        assert_eq!(check(b"\r\n.\n\r\n"), Err(Smuggling::BareLf));
        assert_eq!(check(b"a\0"), Err(Smuggling::Nul));
    }

    proptest! {
        #[test]
        fn agrees_with_the_scanner(message in proptest::collection::vec(proptest::sample::select(&b"\r\n\0ab"[..]), 0..30), cut in 0_usize..30) {
            let (a, b) = message.split_at(cut.min(message.len()));
            let mut guard = Guard::new();
            let cut = guard.feed(a).and_then(|()| guard.feed(b)).and_then(|()| guard.finish());
            prop_assert_eq!(cut, check(&message));
            prop_assert_eq!(check(&message).is_err(), crate::scan(&message).faults.smuggling());
        }
    }
}
