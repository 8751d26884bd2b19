//! IMAP's codec: frames mean the same however they arrive, and a command that was understood is printed and understood
//! again.
#![no_main]

use codec::{Body, Frame, Framer, Limits, append, parse, print};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/imap/src/codec/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the session's part of the codec is not under test")]
mod codec;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, wire)) = data.split_first() else { return };
    let whole = frames(&[wire]);
    let (first, second) = wire.split_at(usize::from(cut).min(wire.len()));
    assert!(frames(&[first, second]) == whole);

    for frame in &whole {
        let understand = match frame {
            Seen::Command(_) => parse,
            Seen::Append(..) => append,
            _ => continue,
        };
        let (Seen::Command(bytes) | Seen::Append(bytes, _)) = frame else { continue };
        if let Ok(command) = understand(bytes) {
            let printed = print(&command);
            let again = understand(&printed).expect("what we print we understand");
            assert!(print(&again) == printed, "{}", String::from_utf8_lossy(&printed));
        }
    }
});

#[derive(PartialEq)]
enum Seen {
    Command(Vec<u8>),
    Append(Vec<u8>, u64),
    Message(Vec<u8>),
    Other(String),
}

/// All that a framer finds in what arrives in these pieces.
fn frames(pieces: &[&[u8]]) -> Vec<Seen> {
    let mut framer = Framer::new(Limits { text: 512, literals: 256 });
    let (mut seen, mut message) = (Vec::new(), None::<Vec<u8>>);
    for piece in pieces {
        framer.input.extend_from_slice(piece);
        loop {
            if let Some(bytes) = &mut message {
                match framer.body() {
                    Body::Piece(piece) => bytes.extend_from_slice(&piece),
                    Body::Wait => break,
                    end @ (Body::End | Body::Trailing) => {
                        seen.push(Seen::Message(std::mem::take(bytes)));
                        seen.push(Seen::Other(format!("{end:?}")));
                        message = None;
                    }
                }
                continue;
            }
            match framer.next() {
                None => break,
                Some(Frame::Command(bytes)) => seen.push(Seen::Command(bytes.to_vec())),
                Some(Frame::Append { head, size, .. }) => {
                    seen.push(Seen::Append(head.to_vec(), size));
                    message = Some(Vec::new());
                }
                Some(Frame::Hopeless) => return seen,
                Some(other) => seen.push(Seen::Other(format!("{other:?}"))),
            }
        }
    }
    seen
}
