//! What holds for the scanner whatever the bytes are, and its limits.

use proptest::prelude::*;
use sealpost_message::{
    Faults, Limits, Nested, Part, Scanned, Scanner, Section, Span, Structure, guard, scan,
};

/// A message put together from what a scanner stumbles over.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(vec![
            &b"--a"[..], b"--ab", b"--b", b"--a--", b"--ab--", b"-", b"--", b"\r\n", b"\r\n", b"\r\n", b"\r\n\r\n",
            b"\n", b"\r", b"\0", b" ", b"\t", b":", b"x", b"line of text\r\n", b"Subject: s\r\n",
            b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: multipart/digest; boundary=ab\r\n",
            b"Content-Type: multipart/alternative;\r\n boundary=b\r\n", b"Content-Type: multipart/mixed\r\n",
            b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html\r\n", b"Content-Type: text/plain\r\n",
            b"Content-Transfer-Encoding: base64\r\n", b"From: a@b.c\r\n", b"\xe9",
        ]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn in_pieces(message: &[u8], cuts: &[usize], limits: Limits) -> Scanned {
    let mut scanner = Scanner::with_limits(limits);
    let mut rest = message;
    for cut in cuts {
        let (piece, tail) = rest.split_at((*cut).min(rest.len()));
        scanner.feed(piece);
        rest = tail;
    }
    scanner.feed(rest);
    scanner.finish()
}

/// Lines as anyone counts them.
fn lines(body: &[u8]) -> u64 {
    let feeds = body.iter().filter(|b| **b == b'\n').count() as u64;
    feeds + u64::from(!body.is_empty() && !body.ends_with(b"\n"))
}

fn check(message: &[u8], part: &Part, within: Span) {
    assert!(
        within.start <= part.header.start && part.header.end <= part.body.start,
        "{part:?} in {within:?}"
    );
    assert_eq!(part.header.end, part.body.start);
    assert!(part.body.end <= within.end, "{part:?} in {within:?}");
    assert_eq!(part.lines, lines(part.body.of(message)), "{part:?}");
    assert!(!part.kind.is_empty() && !part.subtype.is_empty());
    match &part.nested {
        Nested::Leaf => assert_ne!(part.kind, "multipart"),
        Nested::Multipart(parts) => {
            assert!(!parts.is_empty());
            let mut start = part.body.start;
            for child in parts {
                check(message, child, Span::new(start, part.body.end));
                start = child.body.end;
            }
        }
        Nested::Message(inner) => {
            assert_eq!(inner.root.header.start, part.body.start);
            assert_eq!(inner.root.body.end, part.body.end);
            check(message, &inner.root, part.body);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn cuts_do_not_matter(message in message(), cuts in proptest::collection::vec(0_usize..40, 0..30), small: bool) {
        let limits = if small { Limits { parts: 5, depth: 3, header: 60 } } else { Limits::default() };
        let whole = in_pieces(&message, &[], limits);
        prop_assert!(whole == in_pieces(&message, &cuts, limits));
        prop_assert!(whole == in_pieces(&message, &vec![1; message.len()], limits));
    }

    #[test]
    fn the_tree_makes_sense(message in message()) {
        let scanned = scan(&message);
        prop_assert_eq!(scanned.size(), message.len() as u64);
        prop_assert_eq!(scanned.structure.root.header.start, 0);
        prop_assert_eq!(scanned.structure.root.body.end, message.len() as u64);
        prop_assert_eq!(&scanned.header[..], scanned.structure.root.header.of(&message));
        check(&message, &scanned.structure.root, Span::new(0, message.len() as u64));
        prop_assert_eq!(scanned.faults.smuggling(), guard::check(&message).is_err());
        let stored = Structure::decode(&scanned.structure.encode());
        prop_assert!(stored.as_ref() == Ok(&scanned.structure));
        for leaf in scanned.structure.leaves() {
            prop_assert_eq!(scanned.structure.section(&leaf.number, Section::Whole), Some(leaf.part.body));
        }
        scanned.structure.display();
    }

    #[test]
    fn any_bytes_can_be_decoded_or_not(bytes in any::<Vec<u8>>()) {
        let _ = Structure::decode(&bytes);
        let mut formatted = vec![1];
        formatted.extend(bytes);
        let _ = Structure::decode(&formatted);
    }
}

#[test]
fn limits_hold() {
    let mut many = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_vec();
    many.extend(b"--a\r\n\r\nx\r\n".repeat(2000));
    let scanned = scan(&many);
    assert!(scanned.faults.contains(Faults::TOO_MANY_PARTS) && scanned.faults.over_limit());
    assert_eq!(scanned.structure.root.parts().len(), 999);

    let mut deep = Vec::new();
    for level in 0..100 {
        deep.extend(
            format!("Content-Type: multipart/mixed; boundary=b{level}-\r\n\r\n--b{level}-\r\n").into_bytes(),
        );
    }
    let scanned = scan(&deep);
    assert!(scanned.faults.contains(Faults::TOO_DEEP) && scanned.faults.over_limit());
    check(&deep, &scanned.structure.root, Span::new(0, deep.len() as u64));

    let nested = b"Content-Type: message/rfc822\r\n\r\n".repeat(100);
    let scanned = scan(&nested);
    assert!(scanned.faults.contains(Faults::TOO_DEEP));
    check(&nested, &scanned.structure.root, Span::new(0, nested.len() as u64));

    let mut header = b"Subject: ".to_vec();
    header.extend(vec![b'x'; 300 * 1024]);
    header.extend(b"\r\n\r\nbody");
    let scanned = scan(&header);
    assert!(scanned.faults.contains(Faults::HEADER_TOO_LARGE));
    assert_eq!(scanned.header.len(), 256 * 1024);
    assert_eq!(scanned.structure.root.body.of(&header), b"body");

    // Parts' headers have one budget together, so that a small message can't fill memory.
    let mut heavy = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_vec();
    for _ in 0..500 {
        heavy.extend(b"--a\r\nContent-Description: ");
        heavy.extend(vec![b'x'; 16 * 1024]);
        heavy.extend(b"\r\n\r\n\r\n");
    }
    let scanned = scan(&heavy);
    assert!(scanned.faults.contains(Faults::PART_HEADER_CUT) && !scanned.faults.over_limit());
    assert!(scanned.structure.encode().len() < 2 * 1024 * 1024);
}

#[test]
fn the_header_is_there_before_the_body() {
    let mut scanner = Scanner::new();
    scanner.feed(b"Subject: x\r\n\r");
    assert_eq!(scanner.header(), None);
    scanner.feed(b"\n");
    assert_eq!(scanner.header(), Some(&b"Subject: x\r\n\r\n"[..]));
    scanner.feed(b"y");
    let scanned = scanner.finish();
    assert_eq!((scanned.size(), scanned.structure.root.lines), (15, 1));
}

#[test]
fn debug_shows_no_content() {
    let scanned = scan(
        b"Subject: marker\r\nFrom: marker@x.test\r\nContent-Type: text/plain; name=marker\r\n\r\nmarker\r\n",
    );
    assert!(!format!("{scanned:?}{:?}{:?}", scanned.envelope, scanned.structure).contains("marker"));
}
