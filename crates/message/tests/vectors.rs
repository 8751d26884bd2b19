//! Each `vectors/*.eml` against the tree beside it. To write the trees anew after a change that is meant, run with
//! `SEALPOST_BLESS=1` and read the difference.

use std::fmt::Write as _;
use std::path::Path;

use sealpost_message::{
    EnvelopeAddress, EnvelopeFields, Faults, Nested, Part, Scanned, Section, Structure, scan, structure, text,
};

#[test]
fn every_vector_has_its_tree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "eml") {
            continue;
        }
        seen += 1;
        let message = std::fs::read(&path).unwrap();
        let tree = show(&message, &scan(&message));
        let expected = path.with_extension("tree");
        if std::env::var_os("SEALPOST_BLESS").is_some() {
            std::fs::write(&expected, &tree).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if tree != expected {
            wrong.push(format!("{}\n--- expected\n{expected}\n--- found\n{tree}", path.display()));
        }
    }
    assert!(seen > 20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What IMAP asks for, on the forwarded message.
#[test]
fn sections_are_byte_ranges() {
    let message = include_bytes!("vectors/forwarded.eml");
    let scanned = scan(message);
    let get = |number: &[u32], section: Section| {
        scanned
            .structure
            .section(number, section)
            .map(|span| String::from_utf8_lossy(span.of(message)).into_owned())
    };
    assert_eq!(get(&[], Section::Whole).unwrap().len(), message.len());
    assert!(get(&[], Section::Header).unwrap().ends_with("boundary=outer\r\n\r\n"));
    assert!(get(&[], Section::Text).unwrap().starts_with("--outer\r\n"));
    assert_eq!(get(&[], Section::Mime), None);
    assert_eq!(get(&[1], Section::Whole).unwrap(), "See below.");
    assert_eq!(get(&[1], Section::Mime).unwrap(), "\r\n");
    assert_eq!(get(&[1], Section::Header), None);
    assert!(get(&[2], Section::Whole).unwrap().starts_with("From: Pat"));
    assert!(get(&[2], Section::Mime).unwrap().starts_with("Content-Type: message/rfc822"));
    assert!(get(&[2], Section::Header).unwrap().starts_with("From: Pat"));
    assert!(get(&[2], Section::Header).unwrap().ends_with("boundary=inner\r\n\r\n"));
    assert!(get(&[2], Section::Text).unwrap().starts_with("--inner\r\n"));
    assert_eq!(get(&[2, 1], Section::Whole).unwrap(), "May I?");
    assert_eq!(get(&[2, 2], Section::Whole).unwrap(), "<p>May I?</p>");
    assert_eq!(get(&[2, 3], Section::Whole), None);
    assert_eq!(get(&[3], Section::Header).unwrap(), "Subject: short\r\n\r\n");
    assert_eq!(get(&[3, 1], Section::Whole).unwrap(), "one line");
    assert_eq!(get(&[3, 2], Section::Whole), None);
    assert_eq!(get(&[0], Section::Whole), None);
    assert_eq!(get(&[u32::MAX], Section::Whole), None);
    assert_eq!(get(&[1, 1], Section::Whole), None);

    let plain = include_bytes!("vectors/plain.eml");
    let structure = scan(plain).structure;
    assert_eq!(structure.section(&[1], Section::Whole), structure.section(&[], Section::Text));
    assert_eq!(structure.section(&[1], Section::Mime), structure.section(&[], Section::Header));
    assert_eq!(structure.section(&[2], Section::Whole), None);
}

#[test]
fn people_see_text_first_and_files_by_name() {
    let message = include_bytes!("vectors/outlook.eml");
    let scanned = scan(message);
    let display = scanned.structure.display();
    let names = |parts: &[sealpost_message::Numbered<'_>]| {
        parts.iter().map(|n| format!("{} {}", n.dotted(), n.part.file_name_or(&n.number))).collect::<Vec<_>>()
    };
    assert_eq!(names(&display.text), ["1.1.1 part-1.1.1.txt"]);
    assert_eq!(names(&display.html), ["1.1.2 part-1.1.2.html"]);
    assert_eq!(names(&display.inline), ["1.2 image001.png"]);
    assert_eq!(names(&display.attachments), ["2 an\u{e1}lisis 2026.pdf", "1.2 image001.png"]);
    let part = display.text[0].part;
    assert_eq!(
        text::of(part, part.body.of(message)),
        "Estimada Pat:\r\n\r\nadjunto los resultados. Atentamente, Andr\u{e9} \r\n"
    );
}

#[test]
fn stored_forms_come_back() {
    let message = include_bytes!("vectors/forwarded.eml");
    let scanned = scan(message);
    let stored = scanned.structure.encode();
    assert!(stored.len() < message.len());
    assert_eq!(Structure::decode(&stored).unwrap(), scanned.structure);
    assert_eq!(EnvelopeFields::decode(&scanned.envelope.encode()).unwrap(), scanned.envelope);
    assert!(Structure::decode(&stored[..stored.len() - 1]).is_err());
}

fn show(message: &[u8], scanned: &Scanned) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "size {}", scanned.size());
    let _ = writeln!(out, "faults{}", faults(scanned.faults));
    let _ = writeln!(out, "preview {}", scanned.preview);
    envelope(&scanned.envelope, "", &mut out);
    part(message, &scanned.structure.root, &mut Vec::new(), "", &mut out);
    out
}

fn part(message: &[u8], p: &Part, number: &mut Vec<u32>, indent: &str, out: &mut String) {
    let name = if number.is_empty() { "message".to_owned() } else { structure::dotted(number) };
    let _ = write!(
        out,
        "{indent}{name} {} header {:?} body {:?} lines {}",
        p.content_type(),
        p.header.range(),
        p.body.range(),
        p.lines
    );
    for (name, value) in &p.params {
        let _ = write!(out, " {name}={value:?}");
    }
    let _ = writeln!(out);
    let inner = format!("{indent}  ");
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{inner}{name} {value:?}");
        }
    };
    line("encoding", p.encoding.as_deref());
    line("id", p.id.as_deref());
    line("description", p.description.as_deref());
    line("md5", p.md5.as_deref());
    line("location", p.location.as_deref());
    line("file", p.file_name().as_deref());
    if !p.language.is_empty() {
        line("language", Some(&p.language.join(" ")));
    }
    if let Some(d) = &p.disposition {
        let params: String = d.params.iter().map(|(n, v)| format!(" {n}={v:?}")).collect();
        let _ = writeln!(out, "{inner}disposition {}{params}", d.kind);
    }
    match &p.nested {
        Nested::Leaf => {
            let body = String::from_utf8_lossy(p.body.of(message)).into_owned();
            let _ = writeln!(out, "{inner}bytes {:?}", body.chars().take(40).collect::<String>());
        }
        Nested::Multipart(parts) => {
            for (n, child) in (1..).zip(parts) {
                number.push(n);
                part(message, child, number, &inner, out);
                number.pop();
            }
        }
        Nested::Message(embedded) => {
            envelope(&embedded.envelope, &inner, out);
            part(message, &embedded.root, number, &inner, out);
        }
    }
}

fn envelope(e: &EnvelopeFields, indent: &str, out: &mut String) {
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{indent}{name} {value:?}");
        }
    };
    line("date", e.date.as_deref());
    line("sent", e.sent().map(sealpost_model::Time::rfc3339).as_deref());
    line("subject", e.subject.as_deref());
    for (name, list) in [
        ("from", &e.from),
        ("sender", &e.sender),
        ("reply-to", &e.reply_to),
        ("to", &e.to),
        ("cc", &e.cc),
        ("bcc", &e.bcc),
    ] {
        for address in list {
            line(name, Some(&one(address)));
        }
    }
    line("message-id", e.message_id.as_deref());
    line("in-reply-to", e.in_reply_to.as_deref());
    line("ancestors", Some(e.ancestors().join(" ").as_str()).filter(|a| !a.is_empty()));
}

fn one(a: &EnvelopeAddress) -> String {
    let show = |s: &Option<String>| s.as_deref().unwrap_or("-").to_owned();
    format!("{} | {} | {} | {}", show(&a.name), show(&a.adl), show(&a.mailbox), show(&a.host))
}

fn faults(faults: Faults) -> String {
    [
        (Faults::BARE_CR, "bare-cr"),
        (Faults::BARE_LF, "bare-lf"),
        (Faults::NUL, "nul"),
        (Faults::HEADER_TOO_LARGE, "header-too-large"),
        (Faults::TOO_MANY_PARTS, "too-many-parts"),
        (Faults::TOO_DEEP, "too-deep"),
        (Faults::LINE_TOO_LONG, "line-too-long"),
        (Faults::EIGHT_BIT_HEADER, "eight-bit-header"),
        (Faults::EIGHT_BIT_BODY, "eight-bit-body"),
        (Faults::UNCLOSED, "unclosed"),
        (Faults::NO_BOUNDARY, "no-boundary"),
        (Faults::BAD_HEADER_LINE, "bad-header-line"),
        (Faults::PART_HEADER_CUT, "part-header-cut"),
    ]
    .into_iter()
    .filter(|(fault, _)| faults.contains(*fault))
    .map(|(_, name)| format!(" {name}"))
    .collect()
}
