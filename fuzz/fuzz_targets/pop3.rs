//! POP3's codec: lines, and messages as dot-stuffed text that can't be ended early from within.
#![no_main]

use codec::{Stuffer, parse};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/pop3/src/codec/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the session's part of the codec is not under test")]
mod codec;

fuzz_target!(|data: &[u8]| {
    for line in data.split_inclusive(|&b| b == b'\n') {
        let _ = parse(line);
    }
    let Some((&cut, message)) = data.split_first() else { return };
    for new in [Stuffer::whole as fn() -> Stuffer, || Stuffer::top(2)] {
        let whole = stuffed(new(), &[message]);
        let (first, second) = message.split_at(usize::from(cut).min(message.len()));
        assert!(stuffed(new(), &[first, second]) == whole);

        // Every LF has its CR, and the lone dot stands at the end alone.
        assert!((0..whole.len()).all(|at| whole[at] != b'\n' || at > 0 && whole[at - 1] == b'\r'));
        let mut lines = whole.split_inclusive(|&b| b == b'\n');
        assert!(lines.next_back() == Some(&b".\r\n"[..]));
        assert!(lines.all(|line| line != b".\r\n"));
    }
});

fn stuffed(mut stuffer: Stuffer, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        stuffer.feed(piece, &mut out);
    }
    stuffer.finish(&mut out);
    out
}
