//! Commands: one line in, one [`Command`] or one reason why not.
//!
//! The grammar is RFC 5321 section 4.1, stricter than most servers in what a line is and as lenient as they are about
//! spaces (`MAIL FROM: <a@b>` is common).

use sealpost_model::{Address, AddressError, ReversePath, Secret};

use super::xclient::{self, XClient};

/// What a client asks.
#[derive(Clone, Debug)]
pub enum Command {
    /// `EHLO` with the client's name for itself.
    Ehlo(String),
    /// `HELO` with the client's name for itself.
    Helo(String),
    /// `MAIL FROM:<..>`
    Mail(ReversePath, MailParams),
    /// `RCPT TO:<..>`
    Rcpt(Forward),
    /// `DATA`
    Data,
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY` or `EXPN`: what they ask is nobody's business (RFC 5321 section 7.3).
    Vrfy,
    /// `HELP`
    Help,
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// `XCLIENT`: a proxy says whose connection it is.
    XClient(XClient),
    /// `AUTH` (RFC 4954) with its initial response, still in base64. `=` is the empty one.
    Auth(Mechanism, Option<Secret<String>>),
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Forward {
    /// An address.
    To(Address),
    /// `<Postmaster>` without a domain (RFC 5321 section 4.5.1).
    Postmaster,
}

/// Parameters of `MAIL`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MailParams {
    /// `SIZE=`: how large the client believes the message to be, in bytes (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
}

/// How somebody signs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The one that Outlook speaks; never standardised.
    Login,
    /// Any other.
    Unknown,
}

/// Why a line is no command that we take. The session turns each into a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Bad {
    /// It does not end in CRLF, or holds a bare CR, a NUL or another control character.
    #[error("a line must end in CRLF and hold no control characters")]
    Line,
    /// There is no such command.
    #[error("command not recognised")]
    Unknown,
    /// The command is known, its argument is not as it should be; this is how.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// A parameter of MAIL or RCPT that was not offered.
    #[error("parameter not supported")]
    Parameter,
    /// The address in MAIL.
    #[error("{0}")]
    Sender(AddressError),
    /// The address in RCPT.
    #[error("{0}")]
    Recipient(AddressError),
}

/// Reads one line, its CRLF included.
///
/// # Errors
/// [`Bad`].
pub fn parse(line: &[u8]) -> Result<Command, Bad> {
    let line = line.strip_suffix(b"\r\n").ok_or(Bad::Line)?;
    if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(Bad::Line);
    }
    let Ok(line) = std::str::from_utf8(line) else { return Err(Bad::Line) };
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let argument = argument.trim_start_matches([' ', '\t']);
    let verb = verb.to_ascii_uppercase();
    match verb.as_str() {
        "EHLO" => Ok(Command::Ehlo(client_name(argument).ok_or(Bad::Syntax("EHLO your.host.name"))?)),
        "HELO" => Ok(Command::Helo(client_name(argument).ok_or(Bad::Syntax("HELO your.host.name"))?)),
        "MAIL" => mail(argument),
        "RCPT" => rcpt(argument),
        "DATA" => bare(argument, Command::Data, "DATA"),
        "RSET" => bare(argument, Command::Rset, "RSET"),
        "QUIT" => bare(argument, Command::Quit, "QUIT"),
        "STARTTLS" => bare(argument, Command::StartTls, "STARTTLS"),
        "NOOP" => Ok(Command::Noop),
        "VRFY" | "EXPN" => Ok(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        "AUTH" => auth(argument),
        "XCLIENT" => xclient::read(argument)
            .map(Command::XClient)
            .ok_or(Bad::Syntax("XCLIENT ADDR=192.0.2.7 PORT=50000")),
        _ => Err(Bad::Unknown),
    }
}

fn bare(argument: &str, command: Command, syntax: &'static str) -> Result<Command, Bad> {
    if argument.is_empty() { Ok(command) } else { Err(Bad::Syntax(syntax)) }
}

/// `Domain / address-literal` (RFC 5321 section 4.1.1.1), widened by the underscores that real clients send. It goes into
/// the Received field, so nothing may be in it that has a meaning there.
pub(super) fn client_name(argument: &str) -> Option<String> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    ((1..=255).contains(&argument.len()) && argument.bytes().all(ok)).then(|| argument.to_owned())
}

/// `"MAIL FROM:" Reverse-path [SP Mail-parameters]` (RFC 5321 section 4.1.1.2)
fn mail(argument: &str) -> Result<Command, Bad> {
    const SYNTAX: Bad = Bad::Syntax("MAIL FROM:<you@your.domain>");
    let (path, params) = after(argument, "FROM:").and_then(path).ok_or(SYNTAX)?;
    let from = if path.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::From(Address::parse(path).map_err(Bad::Sender)?)
    };
    let mut found = MailParams::default();
    for param in params.split([' ', '\t']).filter(|p| !p.is_empty()) {
        let (name, value) = param.split_once('=').unwrap_or((param, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" if found.size.is_none() => found.size = Some(size(value).ok_or(SYNTAX)?),
            "BODY" => match value.to_ascii_uppercase().as_str() {
                "7BIT" => found.eight_bit = false,
                "8BITMIME" => found.eight_bit = true,
                _ => return Err(Bad::Parameter),
            },
            // RFC 4954 section 5: taken and not believed.
            "AUTH" if !value.is_empty() => {}
            "SIZE" | "AUTH" => return Err(SYNTAX),
            _ => return Err(Bad::Parameter),
        }
    }
    Ok(Command::Mail(from, found))
}

/// `"RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]` (RFC 5321 section 4.1.1.3)
fn rcpt(argument: &str) -> Result<Command, Bad> {
    const SYNTAX: Bad = Bad::Syntax("RCPT TO:<somebody@their.domain>");
    let (path, params) = after(argument, "TO:").and_then(path).ok_or(SYNTAX)?;
    if !params.trim().is_empty() {
        return Err(Bad::Parameter);
    }
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Command::Rcpt(Forward::Postmaster));
    }
    Ok(Command::Rcpt(Forward::To(Address::parse(path).map_err(Bad::Recipient)?)))
}

/// `"AUTH" SP sasl-mech [SP initial-response]` (RFC 4954 section 4)
fn auth(argument: &str) -> Result<Command, Bad> {
    let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
    let mechanism = match mechanism.to_ascii_uppercase().as_str() {
        "" => return Err(Bad::Syntax("AUTH mechanism")),
        "PLAIN" => Mechanism::Plain,
        "LOGIN" => Mechanism::Login,
        _ => Mechanism::Unknown,
    };
    let initial = initial.trim();
    let initial = (!initial.is_empty()).then(|| Secret::new(initial.to_owned()));
    Ok(Command::Auth(mechanism, initial))
}

/// What stands behind `keyword`, in any case of letters.
fn after<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let head = argument.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| argument[keyword.len()..].trim_start())
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"`: the mailbox without a source route, and what stands behind the path. A `>` in
/// a quoted local part does not end it.
fn path(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inner.bytes().position(|b| {
        match (quoted, escaped, b) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, _, b'"') => quoted = !quoted,
            (false, _, b'>') => return true,
            _ => {}
        }
        false
    })?;
    let (path, rest) = (&inner[..end], &inner[end + 1..]);
    if !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    // Source routes are read and ignored (RFC 5321 appendix C).
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':')?.1,
        None => path,
    };
    Some((path, rest))
}

/// `size-value = 1*20DIGIT` (RFC 1870 section 5)
fn size(value: &str) -> Option<u64> {
    ((1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()))
        .then(|| value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(line: &str) -> Command {
        parse(line.as_bytes()).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    #[test]
    fn takes_what_clients_send() {
        assert!(matches!(ok("ehlo [IPv6:::1]\r\n"), Command::Ehlo(h) if h == "[IPv6:::1]"));
        assert!(matches!(ok("HELO my_laptop \r\n"), Command::Helo(h) if h == "my_laptop"));
        assert!(matches!(ok("MAIL FROM:<>\r\n"), Command::Mail(ReversePath::Null, _)));
        for line in [
            "MAIL FROM:<a@b.c> SIZE=10 BODY=8BITMIME AUTH=<>\r\n",
            "mail from: <a@b.c> body=8bitmime size=10\r\n",
            "MAIL FROM:<@x.y,@z.w:a@b.c> SIZE=10 BODY=8BITMIME\r\n",
        ] {
            let Command::Mail(ReversePath::From(from), params) = ok(line) else { panic!("{line}") };
            assert_eq!(from.to_string(), "a@b.c");
            assert_eq!(params, MailParams { size: Some(10), eight_bit: true });
        }
        let Command::Rcpt(Forward::To(to)) = ok("RCPT TO:<\"a>\\\"b\"@c.d>\r\n") else { panic!() };
        assert_eq!(to.to_string(), "\"a>\\\"b\"@c.d");
        assert!(matches!(ok("RCPT TO:<PostMaster>\r\n"), Command::Rcpt(Forward::Postmaster)));
        assert!(matches!(ok("AUTH plain AGEAYg==\r\n"), Command::Auth(Mechanism::Plain, Some(_))));
        assert!(matches!(ok("AUTH LOGIN\r\n"), Command::Auth(Mechanism::Login, None)));
        assert!(matches!(ok("NOOP whatever\r\n"), Command::Noop));
    }

    #[test]
    fn refuses_the_rest() {
        for (line, why) in [
            (&b"NOOP\n"[..], Bad::Line),
            (b"NOOP", Bad::Line),
            (b"NOOP\r", Bad::Line),
            (b"NO\rOP\r\n", Bad::Line),
            (b"NOOP\r\r\n", Bad::Line),
            (b"NOOP\0\r\n", Bad::Line),
            (b"NOOP \xff\r\n", Bad::Line),
            (b"RCPT TO:<a@b.c>\nDATA\r\n", Bad::Line),
            (b"\r\n", Bad::Unknown),
            (b"GET / HTTP/1.1\r\n", Bad::Unknown),
            (b"EHLO\r\n", Bad::Syntax("EHLO your.host.name")),
            (b"EHLO a(b)\r\n", Bad::Syntax("EHLO your.host.name")),
            (b"EHLO a b\r\n", Bad::Syntax("EHLO your.host.name")),
            (b"DATA now\r\n", Bad::Syntax("DATA")),
            (b"MAIL FROM:a@b.c\r\n", Bad::Syntax("MAIL FROM:<you@your.domain>")),
            (b"MAIL FROM:<a@b.c\r\n", Bad::Syntax("MAIL FROM:<you@your.domain>")),
            (b"MAIL FROM:<a@b.c>SIZE=1\r\n", Bad::Syntax("MAIL FROM:<you@your.domain>")),
            (b"MAIL FROM:<a@b.c> SIZE=-1\r\n", Bad::Syntax("MAIL FROM:<you@your.domain>")),
            (b"MAIL FROM:<a@b.c> SIZE=1 SIZE=2\r\n", Bad::Syntax("MAIL FROM:<you@your.domain>")),
            (b"MAIL FROM:<a@b.c> SMTPUTF8\r\n", Bad::Parameter),
            (b"MAIL FROM:<a@b.c> REQUIRETLS\r\n", Bad::Parameter),
            (b"MAIL FROM:<a@b.c> RET=HDRS\r\n", Bad::Parameter),
            (b"MAIL FROM:<a>\r\n", Bad::Sender(AddressError::NoAt)),
            (b"RCPT TO:<>\r\n", Bad::Recipient(AddressError::NoAt)),
            (b"RCPT TO:<a@[127.0.0.1]>\r\n", Bad::Recipient(AddressError::Domain)),
            ("RCPT TO:<é@b.c>\r\n".as_bytes(), Bad::Recipient(AddressError::NotAscii)),
            (b"RCPT TO:<a@b.c> NOTIFY=NEVER\r\n", Bad::Parameter),
            (b"RCPT FROM:<a@b.c>\r\n", Bad::Syntax("RCPT TO:<somebody@their.domain>")),
            (b"AUTH\r\n", Bad::Syntax("AUTH mechanism")),
        ] {
            let got = parse(line).err();
            assert_eq!(got, Some(why), "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_size_beyond_counting_is_the_largest() {
        let Command::Mail(_, params) = ok("MAIL FROM:<> SIZE=99999999999999999999\r\n") else { panic!() };
        assert_eq!(params.size, Some(u64::MAX));
    }
}
