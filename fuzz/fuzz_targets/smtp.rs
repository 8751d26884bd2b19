//! A body from a stranger: it ends by the letter and nowhere else, whatever the cut, and no bare line end comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;

use sealpost_smtp::codec::{Stuff, Unstuff};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, wire)) = data.split_first() else { return };
    let mut whole = Vec::new();
    let mut decoder = Unstuff::new();
    let step = decoder.feed(wire, &mut whole);

    // The end, found the slow way.
    let end = (0..=wire.len()).find(|at| {
        let seen = &wire[..*at];
        seen == b".\r\n" || seen.ends_with(b"\r\n.\r\n")
    });
    assert_eq!(step.done, end.is_some());
    assert_eq!(step.consumed, end.unwrap_or(wire.len()));

    let (mut pieces, mut other, mut used, mut done) = (Vec::new(), Unstuff::new(), 0, false);
    for piece in wire.chunks(usize::from(cut).max(1)) {
        let step = other.feed(piece, &mut pieces);
        used += step.consumed;
        done = step.done;
        if done {
            break;
        }
    }
    assert_eq!((used, done, &pieces, other.broken()), (step.consumed, step.done, &whole, decoder.broken()));

    if step.done && decoder.broken().is_none() {
        let mut last = 0;
        for (n, byte) in whole.iter().enumerate() {
            assert!(*byte != b'\n' || last == b'\r');
            assert!(last != b'\r' || *byte == b'\n');
            assert!(*byte != 0);
            let _ = n;
            last = *byte;
        }
        let (mut stuff, mut again) = (Stuff::new(), Vec::new());
        stuff.feed(&whole, &mut again);
        stuff.finish(&mut again);
        let (mut back, mut decoder) = (Vec::new(), Unstuff::new());
        assert!(decoder.feed(&again, &mut back).done);
        assert!(decoder.broken().is_none() && back == whole);
    }

    // Anything at all that we send is one body.
    let (mut stuff, mut sent) = (Stuff::new(), Vec::new());
    for piece in wire.chunks(usize::from(cut).max(1)) {
        stuff.feed(piece, &mut sent);
    }
    stuff.finish(&mut sent);
    let mut decoder = Unstuff::new();
    let step = decoder.feed(&sent, &mut Vec::new());
    assert!(step.done && step.consumed == sent.len());
    assert!(decoder.broken().is_none_or(|b| b == sealpost_smtp::codec::Broken::Nul));
});
