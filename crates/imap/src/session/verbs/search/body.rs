//! Looks for words in a message's text: decoded, in any case, in pieces of bounded size.

use sealpost_mailbox::{Error, MessageReader};
use sealpost_message::decode::{Decoder, charset};
use sealpost_message::{Nested, Part, headers, html};

use super::head;
use super::test::Found;

/// Bytes read at a time, a chunk of a sealed body.
const PIECE: u64 = 256 * 1024;
/// Decoded bytes that are looked through together.
const WINDOW: usize = 512 * 1024;

/// For each word where it stands: in the header, in a text part, in an attached message, in a file's name.
pub(super) async fn find(
    reader: &MessageReader,
    header: &[u8],
    words: &[String],
) -> Result<Vec<Found>, Error> {
    let mut found = vec![Found::default(); words.len()];
    for field in headers::fields(header) {
        let text = format!("{}: {}", String::from_utf8_lossy(field.name), field.decoded());
        mark(&text, words, &mut found, |found| &mut found.header);
    }
    let mut parts = Vec::new();
    gather(&reader.summary().structure.root, &mut parts);
    for part in parts {
        if found.iter().all(|found| found.body) {
            break;
        }
        if let Some(name) = part.file_name() {
            mark(&name, words, &mut found, |found| &mut found.body);
        }
        if let Nested::Message(inner) = &part.nested {
            let header = reader.read(head(inner.root.header)).await?;
            for field in headers::fields(&header) {
                mark(&field.decoded(), words, &mut found, |found| &mut found.body);
            }
        } else if part.kind == "text" {
            in_part(reader, part, words, &mut found).await?;
        }
    }
    // An empty word is everywhere, in a message without text too.
    for (word, found) in words.iter().zip(&mut found) {
        found.body |= word.is_empty();
    }
    Ok(found)
}

/// All parts that hold no parts, and messages within, in their order.
fn gather<'a>(part: &'a Part, parts: &mut Vec<&'a Part>) {
    match &part.nested {
        Nested::Multipart(inner) => inner.iter().for_each(|part| gather(part, parts)),
        Nested::Message(inner) => {
            parts.push(part);
            gather(&inner.root, parts);
        }
        Nested::Leaf => parts.push(part),
    }
}

async fn in_part(
    reader: &MessageReader,
    part: &Part,
    words: &[String],
    found: &mut [Found],
) -> Result<(), Error> {
    // So much of one window is seen again in the next that no word is lost between them.
    let overlap = words.iter().map(String::len).max().unwrap_or(0).saturating_mul(4).max(1024);
    let mut decoder = Decoder::new(part.transfer());
    let (mut window, mut at) = (Vec::new(), part.body.start);
    while at < part.body.end {
        let end = ((at / PIECE + 1) * PIECE).min(part.body.end);
        decoder.feed(&reader.read(at..end).await?, &mut window);
        at = end;
        if at == part.body.end {
            decoder.finish(&mut window);
        }
        if at < part.body.end && window.len() < WINDOW {
            continue;
        }
        let text = charset(part.charset().as_deref(), &window);
        let text = if part.is("text", "html") { html::to_text(&text) } else { text };
        mark(&text, words, found, |found| &mut found.body);
        if found.iter().all(|found| found.body) {
            return Ok(());
        }
        window.drain(..window.len().saturating_sub(overlap));
    }
    Ok(())
}

fn mark(text: &str, words: &[String], found: &mut [Found], slot: impl Fn(&mut Found) -> &mut bool) {
    let lower = text.to_lowercase();
    for (word, found) in words.iter().zip(found) {
        let slot = slot(found);
        *slot |= lower.contains(word.as_str());
    }
}
