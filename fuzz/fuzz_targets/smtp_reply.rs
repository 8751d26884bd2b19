//! What somebody's server answers: a reply or an error, never more than it said.
#![no_main]

use libfuzzer_sys::fuzz_target;

use sealpost_smtp::codec::{Extensions, ReplyReader};

fuzz_target!(|data: &[u8]| {
    let mut reader = ReplyReader::new();
    for line in data.split_inclusive(|b| *b == b'\n') {
        match reader.line(line) {
            Err(_) => return,
            Ok(None) => {}
            Ok(Some(reply)) => {
                assert!((200..600).contains(&reply.code) && !reply.lines.is_empty());
                Extensions::read(&reply);
                let text = reply.to_string();
                assert!(!text.chars().any(char::is_control));
                // It can be printed and read again, and says the same.
                let mut again = ReplyReader::new();
                let wire = reply.print();
                let mut back = None;
                for line in wire.split_inclusive(|b| *b == b'\n') {
                    back = again.line(line).expect("our own print");
                }
                assert_eq!(back.expect("whole").code, reply.code);
            }
        }
    }
});
