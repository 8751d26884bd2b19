//! SMTP's codec: a body means the same however it arrives, ends where both sides end it, and lines never panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpost_smtp::codec::{ReplyReader, Stuff, Unstuff, parse};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, wire)) = data.split_first() else { return };
    for line in wire.split_inclusive(|byte| *byte == b'\n') {
        let _ = parse(line);
    }
    let mut replies = ReplyReader::new();
    for line in wire.split(|byte| *byte == b'\n') {
        if replies.line(line).is_err() {
            break;
        }
    }

    let (mut whole, mut out) = (Unstuff::new(), Vec::new());
    let step = whole.feed(wire, &mut out);

    let (first, second) = wire.split_at(usize::from(cut).min(wire.len()));
    let (mut pieces, mut again) = (Unstuff::new(), Vec::new());
    let mut end = pieces.feed(first, &mut again);
    if !end.done {
        let more = pieces.feed(second, &mut again);
        end.consumed += more.consumed;
        end.done = more.done;
    }
    assert!(end == step && again == out && pieces.broken() == whole.broken());

    if step.done && whole.broken().is_none() {
        // What we take as one message we send as one, with the same bytes.
        let (mut stuff, mut sent) = (Stuff::new(), Vec::new());
        stuff.feed(&out, &mut sent);
        stuff.finish(&mut sent);
        assert!(sent == wire[..step.consumed]);
    }
});
