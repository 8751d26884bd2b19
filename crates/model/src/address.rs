//! Mail addresses and domains (RFC 5321 section 4.1.2).
//!
//! An address keeps the local part as it was written and the domain in lower case; [`Address::key`] is the form in
//! which the directory looks it up. Only ASCII is taken: SMTPUTF8 is not offered, so an address beyond ASCII is
//! refused at the edge with a reason, and an internationalised domain is written as its A-label (RFC 5890).

use std::fmt;

/// A domain name in lower-case ASCII, without a trailing dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

impl Domain {
    /// Reads a domain: labels of letters, digits, hyphen and underscore, 1 to 63 bytes each, 253 in all.
    ///
    /// # Errors
    /// Whatever breaks that grammar.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > 253 {
            return Err(AddressError::Domain);
        }
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if !text.split('.').all(label) {
            return Err(if text.is_ascii() { AddressError::Domain } else { AddressError::NotAscii });
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mail address with a domain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: Box<str>,
    domain: Domain,
}

impl Address {
    /// Reads `local@domain`. The local part is a dot-string or a quoted string (which is unquoted when it needn't be
    /// quoted), 64 bytes at most; an address literal is refused.
    ///
    /// # Errors
    /// Whatever breaks that grammar.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if !text.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        let at = text.rfind('@').ok_or(AddressError::NoAt)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        let domain = Domain::parse(domain)?;
        let local = match local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
            Some(quoted) => unquote(quoted)?,
            None if is_dot_string(local) => local.to_owned(),
            None => return Err(AddressError::Local),
        };
        if local.is_empty() || local.len() > 64 {
            return Err(AddressError::Local);
        }
        Ok(Self { local: local.into(), domain })
    }

    /// The part before the `@`, unquoted.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The form that is looked up: all in lower case.
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }

    /// Whether both name the same target for us: letters' case apart.
    pub fn same(&self, other: &Self) -> bool {
        self.domain == other.domain && self.local.eq_ignore_ascii_case(&other.local)
    }
}

/// Where a bounce goes (RFC 5321 section 4.1.1.2).
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: never answered.
    Null,
    /// The sender's address.
    From(Address),
}

impl ReversePath {
    /// The address, if there is one.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::From(address) => Some(address),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::From(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain.as_str());
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain.as_str())
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Addresses may be PHI: `Debug` tells only that there is one.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Domain(..)")
    }
}

impl fmt::Debug for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::From(_) => "From(..)",
        })
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`.
    #[error("an address looks like name@domain")]
    NoAt,
    /// The part before the `@`.
    #[error("the part before the @ is not valid in an address")]
    Local,
    /// The part behind the `@`.
    #[error("the domain of the address is not valid")]
    Domain,
    /// Characters beyond ASCII.
    #[error("addresses with characters beyond ASCII are not supported; write the domain in its xn-- form")]
    NotAscii,
}

/// `Dot-string = Atom *("." Atom)` (RFC 5321 section 4.1.2).
fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// `atext` (RFC 5322 section 3.2.3).
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// `QcontentSMTP = qtextSMTP / quoted-pairSMTP` (RFC 5321 section 4.1.2).
fn unquote(quoted: &str) -> Result<String, AddressError> {
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().ok_or(AddressError::Local)?,
            '"' => return Err(AddressError::Local),
            c => c,
        };
        if !(' '..='~').contains(&c) {
            return Err(AddressError::Local);
        }
        out.push(c);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_grammar_takes() {
        for (text, printed) in [
            ("alice@clinic.test", "alice@clinic.test"),
            ("Alice@CLINIC.Test", "Alice@clinic.test"),
            ("\"al ice\"@clinic.test", "\"al ice\"@clinic.test"),
            ("\"alice\"@clinic.test", "alice@clinic.test"),
            ("sent+ab2=c@clinic.test.", "sent+ab2=c@clinic.test"),
            ("\"a\\\"b\"@c.d", "\"a\\\"b\"@c.d"),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.to_string(), printed);
            assert_eq!(Address::parse(printed), Ok(address));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "alice",
            "@clinic.test",
            "alice@",
            "a@[127.0.0.1]",
            "a..b@c.d",
            ".a@c.d",
            "a@-c.d",
            "a@c..d",
            "a b@c.d",
            "\"a@c.d",
            "\"a\"b\"@c.d",
            "a@c.d\r\nRCPT",
            "\"a\r\n\"@c.d",
            "é@c.d",
            "a@é.d",
            "a@c d",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert!(Address::parse(&format!("{}@c.d", "a".repeat(65))).is_err());
    }

    #[test]
    fn debug_tells_nothing() {
        let address = Address::parse("pat@outside.example").expect("valid");
        assert_eq!(format!("{address:?}"), "Address(..)");
        assert_eq!(format!("{:?}", ReversePath::From(address)), "From(..)");
    }
}
