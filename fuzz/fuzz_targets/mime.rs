//! A message, whole and cut in two: the same tree, and each part can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpost_message::{Nested, Part, Scanner, Structure, html, scan, text};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, message)) = data.split_first() else { return };
    let whole = scan(message);

    let (a, b) = message.split_at(usize::from(cut).min(message.len()));
    let mut scanner = Scanner::new();
    scanner.feed(a);
    scanner.feed(b);
    assert!(scanner.finish() == whole);

    assert!(Structure::decode(&whole.structure.encode()).as_ref() == Ok(&whole.structure));
    inside(&whole.structure.root, message.len() as u64);
    let display = whole.structure.display();
    for shown in display.text.iter().chain(&display.html) {
        let body = text::of(shown.part, shown.part.body.of(message));
        html::sanitize(&body);
    }
    for file in &display.attachments {
        file.part.file_name_or(&file.number);
    }
});

fn inside(part: &Part, end: u64) {
    assert!(part.header.start <= part.header.end && part.header.end == part.body.start);
    assert!(part.body.start <= part.body.end && part.body.end <= end);
    match &part.nested {
        Nested::Leaf => {}
        Nested::Multipart(parts) => parts.iter().for_each(|p| inside(p, part.body.end)),
        Nested::Message(inner) => inside(&inner.root, part.body.end),
    }
}
