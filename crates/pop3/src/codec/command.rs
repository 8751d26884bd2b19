//! What a client can ask for, and its grammar (RFC 1939 section 9, RFC 2449, RFC 5034).

use sealpost_model::Secret;

/// One command.
#[derive(Debug)]
pub enum Command {
    /// CAPA (RFC 2449)
    Capa,
    /// STLS (RFC 2595)
    Stls,
    /// USER
    User(String),
    /// PASS; all behind the first blank is the password, blanks too.
    Pass(Secret<String>),
    /// AUTH (RFC 5034): the mechanism in capitals, and an initial response in base64. Without a mechanism: which are
    /// there?
    Auth(Option<(String, Option<Secret<String>>)>),
    /// STAT
    Stat,
    /// LIST, of all or one
    List(Option<u32>),
    /// UIDL, of all or one
    Uidl(Option<u32>),
    /// RETR
    Retr(u32),
    /// TOP: the message, and how many lines of its body
    Top(u32, u32),
    /// DELE
    Dele(u32),
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// QUIT
    Quit,
}

/// A line that is no command. The text is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not end with CR LF.
    #[error("A line must end with CR LF")]
    LineEnd,
    /// It holds what is no text.
    #[error("A line must be text without control characters")]
    Text,
    /// There is no such command.
    #[error("There is no such command")]
    Unknown,
    /// The argument does not fit the command.
    #[error("This command wants {0}")]
    Argument(&'static str),
}

/// Parses a line with its line end.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &[u8]) -> Result<Command, Wrong> {
    let line = line.strip_suffix(b"\r\n").ok_or(Wrong::LineEnd)?;
    let line = std::str::from_utf8(line).map_err(|_| Wrong::Text)?;
    if line.chars().any(char::is_control) {
        return Err(Wrong::Text);
    }
    let (word, argument) = line.split_once(' ').map_or((line, None), |(word, rest)| (word, Some(rest)));
    let numbers = || argument.unwrap_or_default().split(' ').filter(|text| !text.is_empty());
    let none = |command| match numbers().next() {
        None => Ok(command),
        Some(_) => Err(Wrong::Argument("nothing behind it")),
    };
    let one = || {
        let mut numbers = numbers().map(number);
        match (numbers.next(), numbers.next()) {
            (Some(Some(n)), None) => Ok(n),
            _ => Err(Wrong::Argument("the number of a message")),
        }
    };
    let maybe_one = || if numbers().next().is_none() { Ok(None) } else { one().map(Some) };
    match word.to_ascii_uppercase().as_str() {
        "CAPA" => none(Command::Capa),
        "STLS" => none(Command::Stls),
        "USER" => match argument.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => Ok(Command::User(name.to_owned())),
            None => Err(Wrong::Argument("a name")),
        },
        "PASS" => match argument.filter(|password| !password.is_empty()) {
            Some(password) => Ok(Command::Pass(Secret::new(password.to_owned()))),
            None => Err(Wrong::Argument("a password")),
        },
        "AUTH" => auth(argument),
        "STAT" => none(Command::Stat),
        "LIST" => maybe_one().map(Command::List),
        "UIDL" => maybe_one().map(Command::Uidl),
        "RETR" => one().map(Command::Retr),
        "TOP" => {
            let mut numbers = numbers();
            match (numbers.next().and_then(number), numbers.next().and_then(count), numbers.next()) {
                (Some(message), Some(lines), None) => Ok(Command::Top(message, lines)),
                _ => Err(Wrong::Argument("the number of a message and a number of lines")),
            }
        }
        "DELE" => one().map(Command::Dele),
        "RSET" => none(Command::Rset),
        "NOOP" => none(Command::Noop),
        "QUIT" => none(Command::Quit),
        _ => Err(Wrong::Unknown),
    }
}

fn auth(argument: Option<&str>) -> Result<Command, Wrong> {
    let mut words = argument.unwrap_or_default().split(' ').filter(|text| !text.is_empty());
    let Some(mechanism) = words.next() else { return Ok(Command::Auth(None)) };
    let initial = words.next().map(|text| Secret::new(text.to_owned()));
    if words.next().is_some() {
        return Err(Wrong::Argument("a mechanism and at most one response"));
    }
    Ok(Command::Auth(Some((mechanism.to_ascii_uppercase(), initial))))
}

/// A message's number: above 0.
fn number(text: &str) -> Option<u32> {
    count(text).filter(|&n| n > 0)
}

fn count(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &str) -> String {
        match parse(line.as_bytes()) {
            Ok(command) => format!("{command:?}"),
            Err(wrong) => wrong.to_string(),
        }
    }

    #[test]
    fn commands() {
        for (line, wanted) in [
            ("CAPA\r\n", "Capa"),
            ("quit\r\n", "Quit"),
            ("QUIT \r\n", "Quit"),
            ("QUIT now\r\n", "This command wants nothing behind it"),
            ("USER bob@clinic.test\r\n", "User(\"bob@clinic.test\")"),
            ("USER\r\n", "This command wants a name"),
            ("PASS  two blanks \r\n", "Pass([secret])"),
            ("PASS \r\n", "This command wants a password"),
            ("LIST\r\n", "List(None)"),
            ("LIST 3\r\n", "List(Some(3))"),
            ("LIST 0\r\n", "This command wants the number of a message"),
            ("LIST -1\r\n", "This command wants the number of a message"),
            ("LIST 1 2\r\n", "This command wants the number of a message"),
            ("UIDL 4294967295\r\n", "Uidl(Some(4294967295))"),
            ("UIDL 4294967296\r\n", "This command wants the number of a message"),
            ("RETR\r\n", "This command wants the number of a message"),
            ("TOP 1 0\r\n", "Top(1, 0)"),
            ("TOP 1\r\n", "This command wants the number of a message and a number of lines"),
            ("AUTH\r\n", "Auth(None)"),
            ("AUTH plain\r\n", "Auth(Some((\"PLAIN\", None)))"),
            ("AUTH PLAIN AGE=\r\n", "Auth(Some((\"PLAIN\", Some([secret]))))"),
            ("AUTH PLAIN AGE= x\r\n", "This command wants a mechanism and at most one response"),
            ("XTND\r\n", "There is no such command"),
            ("\r\n", "There is no such command"),
            ("NOOP\n", "A line must end with CR LF"),
            ("NOOP\r\nNOOP\r\n", "A line must be text without control characters"),
            ("USER a\0b\r\n", "A line must be text without control characters"),
        ] {
            assert_eq!(shown(line), wanted, "{line:?}");
        }
        let Ok(Command::Pass(password)) = parse(b"PASS  two blanks \r\n") else { panic!() };
        assert_eq!(password.expose(), " two blanks ");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&line);
        }
    }
}
