//! ENVELOPE and BODYSTRUCTURE (RFC 9051 sections 7.5.2 and 9), printed from what was stored when the message arrived.

use sealpost_message::{Disposition, EnvelopeAddress, EnvelopeFields, Nested, Part};

use super::write::Writer;

/// Prints an ENVELOPE.
pub fn envelope(w: &mut Writer, fields: &EnvelopeFields) {
    w.raw("(");
    text(w, fields.date.as_deref());
    w.raw(" ");
    text(w, fields.subject.as_deref());
    let lists = [
        &fields.from,
        fields.sender_or_from(),
        fields.reply_to_or_from(),
        &fields.to,
        &fields.cc,
        &fields.bcc,
    ];
    for list in lists {
        w.raw(" ");
        addresses(w, list);
    }
    w.raw(" ");
    text(w, fields.in_reply_to.as_deref());
    w.raw(" ");
    text(w, fields.message_id.as_deref());
    w.raw(")");
}

fn addresses(w: &mut Writer, list: &[EnvelopeAddress]) {
    if list.is_empty() {
        w.raw("NIL");
        return;
    }
    w.raw("(");
    for address in list {
        w.raw("(");
        text(w, address.name.as_deref());
        w.raw(" ");
        text(w, address.adl.as_deref());
        w.raw(" ");
        text(w, address.mailbox.as_deref());
        w.raw(" ");
        text(w, address.host.as_deref());
        w.raw(")");
    }
    w.raw(")");
}

/// Prints BODYSTRUCTURE, or with `extended` off BODY.
pub fn body(w: &mut Writer, part: &Part, extended: bool) {
    w.raw("(");
    match &part.nested {
        Nested::Multipart(parts) if !parts.is_empty() => {
            for part in parts {
                body(w, part, extended);
            }
            w.raw(" ").string(part.subtype.as_bytes());
            if extended {
                w.raw(" ");
                params(w, &part.params);
                rest(w, part);
            }
        }
        _ => single(w, part, extended),
    }
    w.raw(")");
}

/// `body-type-1part`
fn single(w: &mut Writer, part: &Part, extended: bool) {
    let message = part.is("message", "rfc822");
    // A multipart in which no part was found can't be said in this grammar: it is shown as the text that it is.
    let (kind, subtype) = if part.kind == "multipart" {
        ("text", "plain")
    } else {
        (part.kind.as_str(), part.subtype.as_str())
    };
    w.string(kind.as_bytes()).raw(" ").string(subtype.as_bytes()).raw(" ");
    params(w, if part.kind == "multipart" { &[] } else { &part.params });
    w.raw(" ");
    text(w, part.id.as_deref());
    w.raw(" ");
    text(w, part.description.as_deref());
    w.raw(" ").string(part.encoding.as_deref().unwrap_or("7bit").as_bytes());
    w.raw(" ").number(part.size());
    if message {
        w.raw(" ");
        match &part.nested {
            Nested::Message(inner) => {
                envelope(w, &inner.envelope);
                w.raw(" ");
                body(w, &inner.root, extended);
            }
            // Too deep to be taken apart: an empty envelope, and text.
            _ => {
                envelope(w, &EnvelopeFields::default());
                w.raw(" (\"text\" \"plain\" NIL NIL NIL \"7bit\" ")
                    .number(part.size())
                    .raw(" ")
                    .number(part.lines);
                if extended {
                    w.raw(" NIL NIL NIL NIL");
                }
                w.raw(")");
            }
        }
    }
    if message || kind == "text" {
        w.raw(" ").number(part.lines);
    }
    if extended {
        w.raw(" ");
        text(w, part.md5.as_deref());
        rest(w, part);
    }
}

/// Disposition, language and location, which end both extended forms.
fn rest(w: &mut Writer, part: &Part) {
    w.raw(" ");
    match &part.disposition {
        Some(Disposition { kind, params: with }) => {
            w.raw("(").string(kind.as_bytes()).raw(" ");
            params(w, with);
            w.raw(")");
        }
        None => {
            w.raw("NIL");
        }
    }
    w.raw(" ");
    match part.language.as_slice() {
        [] => {
            w.raw("NIL");
        }
        [one] => {
            w.string(one.as_bytes());
        }
        many => {
            w.raw("(");
            for (at, language) in many.iter().enumerate() {
                w.raw(if at > 0 { " " } else { "" }).string(language.as_bytes());
            }
            w.raw(")");
        }
    }
    w.raw(" ");
    text(w, part.location.as_deref());
}

fn params(w: &mut Writer, params: &[(String, String)]) {
    if params.is_empty() {
        w.raw("NIL");
        return;
    }
    w.raw("(");
    for (at, (name, value)) in params.iter().enumerate() {
        w.raw(if at > 0 { " " } else { "" });
        w.string(name.as_bytes()).raw(" ").string(value.as_bytes());
    }
    w.raw(")");
}

fn text(w: &mut Writer, value: Option<&str>) {
    w.nstring(value.map(str::as_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> (String, String, String) {
        let message = message.replace('\n', "\r\n");
        let scanned = sealpost_message::scan(message.as_bytes());
        let print = |f: &dyn Fn(&mut Writer)| {
            let mut w = Writer::default();
            f(&mut w);
            String::from_utf8_lossy(&w.out).into_owned()
        };
        (
            print(&|w| envelope(w, &scanned.envelope)),
            print(&|w| body(w, &scanned.structure.root, false)),
            print(&|w| body(w, &scanned.structure.root, true)),
        )
    }

    #[test]
    fn a_plain_message() {
        let (envelope, body, extended) = shown(
            "Date: Wed, 17 Jul 1996 02:23:25 -0700\nFrom: Terry Gray <gray@cac.example>\nSubject: IMAP4rev1 \"WG\"\n\
             To: imap@cac.example\nCc: minutes@cnri.example, \"J. K\" <k@x.example>\nMessage-ID: <B@cac.example>\n\n\
             hi\nho\n",
        );
        assert_eq!(
            envelope,
            "(\"Wed, 17 Jul 1996 02:23:25 -0700\" \"IMAP4rev1 \\\"WG\\\"\" \
             ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) ((NIL NIL \"imap\" \"cac.example\")) \
             ((NIL NIL \"minutes\" \"cnri.example\")(\"J. K\" NIL \"k\" \"x.example\")) NIL NIL \"<B@cac.example>\")"
        );
        assert!(body.starts_with("(\"text\" \"plain\" "), "{body}");
        assert!(body.ends_with(" NIL NIL \"7bit\" 8 2)"), "{body}");
        assert!(extended.ends_with(" NIL NIL \"7bit\" 8 2 NIL NIL NIL NIL)"), "{extended}");
    }

    #[test]
    fn the_deepest_structure_fits_on_the_stack() {
        let within = "Content-Type: message/rfc822\n\n".repeat(200);
        let parts: String =
            (0..200).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
        let shown = move || {
            for message in [within, parts] {
                let (_, _, extended) = shown(&message);
                let opened = extended.matches('(').count();
                assert!((30..500).contains(&opened), "{opened}");
            }
        };
        // A quarter of the stack that the server's threads have.
        let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(shown);
        thread.expect("a thread").join().expect("no panic");
    }

    #[test]
    fn parts_and_a_message_within() {
        let (_, _, extended) = shown(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=utf-8\n\
             Content-Language: en, es\n\n<p>\n--b\nContent-Type: message/rfc822\n\
             Content-Disposition: attachment; filename=\"a b.eml\"\n\nSubject: in\n\nx\n--b--\n",
        );
        assert_eq!(
            extended,
            "((\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 3 1 NIL NIL (\"en\" \"es\") NIL)\
             (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 \
             (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 1 NIL NIL NIL NIL) 3 \
             NIL (\"attachment\" (\"filename\" \"a b.eml\")) NIL NIL) \
             \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"
        );
    }
}
