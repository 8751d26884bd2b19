//! A line from a stranger: a command or a reason why not; what is taken is one line, and prints as one.
#![no_main]

use libfuzzer_sys::fuzz_target;

use sealpost_smtp::codec::{Command, Forward, parse};

fuzz_target!(|data: &[u8]| {
    let command = parse(data);
    if let Ok(command) = &command {
        assert!(data.ends_with(b"\r\n"));
        assert!(!data[..data.len() - 2].iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        let again = match command {
            Command::Mail(from, _) => format!("MAIL FROM:<{from}>\r\n"),
            Command::Rcpt(Forward::To(to)) => format!("RCPT TO:<{to}>\r\n"),
            Command::Ehlo(name) => format!("EHLO {name}\r\n"),
            _ => return,
        };
        let again = parse(again.as_bytes()).expect("what was read can be written and read");
        match (command, again) {
            (Command::Mail(a, _), Command::Mail(b, _)) => assert!(*a == b),
            (Command::Rcpt(a), Command::Rcpt(b)) => assert!(*a == b),
            (Command::Ehlo(a), Command::Ehlo(b)) => assert!(*a == b),
            _ => panic!("another command"),
        }
    }
});
