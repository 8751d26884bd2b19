//! What a recipient reads: the text, the HTML, a file, the message itself. Each reading is in the log before its first
//! byte leaves (S53).

use std::ops::Range;
use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_delivery::MessageReader;
use sealpost_message::decode::Decoder;
use sealpost_message::html::Sanitizer;
use sealpost_message::{Display, Encoding, Numbered, encode, html, text};
use sealpost_model::{Client, RecipientId, Time};
use sealpost_store::keys::TenantKeys;

use crate::facts::Facts;
use crate::{Error, Opened, Person, Pickup};

/// A message for its page.
pub struct Letter {
    /// The subject, without tags.
    pub subject: String,
    /// Who wrote it.
    pub from: Person,
    /// To whom.
    pub to: Vec<Person>,
    /// And to whom else.
    pub cc: Vec<Person>,
    /// When it was accepted.
    pub sent: Time,
    /// Its plain text; that of its HTML when it has no other. Not escaped.
    pub text: String,
    /// Whether the text was cut.
    pub cut: bool,
    /// Whether there is HTML.
    pub has_html: bool,
    /// Its files.
    pub files: Vec<Attached>,
    /// Whether there is anybody else to answer: a Bcc answers the sender alone.
    pub reply_all: bool,
}

/// An attachment as the page lists it.
pub struct Attached {
    /// Its place, from 1.
    pub number: u32,
    /// Its name, made safe.
    pub name: String,
    /// Its media type, as the sender said.
    pub media_type: String,
    /// Its size in bytes; near, where it is encoded.
    pub size: u64,
}

impl Pickup {
    /// The message with its text.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::Corrupt`], the store's and the log's.
    pub async fn letter(&self, opened: &Opened, client: &Client) -> Result<Letter, Error> {
        let reading = self.reading(opened, Verb::ReadMessage, client).await?;
        let (facts, reader) = reading.content(self).await?;
        let (bodies, cut) = bodies(&reader, texts(&facts.summary.structure.display())).await?;
        let (facts, out) = aside(move || {
            let mut out = String::new();
            for (Numbered { part, .. }, body) in texts(&facts.summary.structure.display()).iter().zip(&bodies)
            {
                if !out.is_empty() {
                    out.push_str("\n\n");
                }
                out.push_str(&text::of(part, body));
            }
            (facts, out)
        })
        .await?;
        let display = facts.summary.structure.display();
        let files =
            display.attachments.iter().zip(1..).map(|(file, number)| attached(file, number)).collect();
        let others = self.others(opened, &facts)?;
        let has_html = !display.html.is_empty();
        let Facts { subject, from, to, cc, sent, .. } = facts;
        Ok(Letter {
            subject,
            from,
            to,
            cc,
            sent,
            text: out,
            cut,
            has_html,
            files,
            reply_all: !others.is_empty(),
        })
    }

    /// The message's HTML, safe to show in a sandboxed frame; pictures that came with it are inside as `data:`.
    ///
    /// # Errors
    /// As [`Pickup::letter`].
    pub async fn html(&self, opened: &Opened, client: &Client) -> Result<Option<String>, Error> {
        let reading = self.reading(opened, Verb::ReadMessage, client).await?;
        let (facts, reader) = reading.content(self).await?;
        let display = facts.summary.structure.display();
        if display.html.is_empty() {
            return Ok(None);
        }
        let mut pictures = Vec::new();
        let mut room = IMAGES_MAX;
        for Numbered { part, .. } in &display.inline {
            let Some(cid) = part.cid() else { continue };
            let known = IMAGE_TYPES.contains(&part.subtype.as_str());
            if !known || part.size() > room {
                continue;
            }
            room -= part.size();
            let body = reader.read(part.body.range()).await.map_err(sealpost_delivery::Error::from)?;
            pictures.push((cid.to_owned(), part.subtype.clone(), part.transfer(), body));
        }
        let (bodies, _) = bodies(&reader, &display.html).await?;
        aside(move || {
            let picture = |(cid, subtype, transfer, body): (_, String, _, Vec<u8>)| {
                let body = encode::base64(&sealpost_message::decode::bytes(transfer, &body));
                (cid, format!("data:image/{subtype};base64,{body}"))
            };
            let sanitizer = Sanitizer::new(pictures.into_iter().map(picture).collect());
            let mut out = String::new();
            for (Numbered { part, .. }, body) in facts.summary.structure.display().html.iter().zip(&bodies) {
                let source = sealpost_message::decode::text(part.transfer(), part.charset().as_deref(), body);
                if part.is("text", "html") {
                    out.push_str(&sanitizer.clean(&source));
                } else {
                    // Plain text between formatted parts.
                    out.push_str("<pre>");
                    out.push_str(&html::escape(&source));
                    out.push_str("</pre>");
                }
            }
            Some(out)
        })
        .await
    }

    /// One attachment, by its place.
    ///
    /// # Errors
    /// As [`Pickup::letter`].
    pub async fn file(
        &self,
        opened: &Opened,
        number: u32,
        client: &Client,
    ) -> Result<Option<Download>, Error> {
        let reading = self.reading(opened, Verb::PickupAttachment, client).await?;
        let (facts, reader) = reading.content(self).await?;
        let display = facts.summary.structure.display();
        let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        let Some(file) = display.attachments.get(at) else { return Ok(None) };
        Ok(Some(Download {
            guard: Guard::new(self, opened),
            reader,
            rest: file.part.body.range(),
            decoder: Some(Decoder::new(file.part.transfer())),
            size: None,
            name: file.part.file_name_or(&file.number),
            media_type: file.part.content_type(),
        }))
    }

    /// The message as it was written.
    ///
    /// # Errors
    /// As [`Pickup::letter`].
    pub async fn original(&self, opened: &Opened, client: &Client) -> Result<Download, Error> {
        let reading = self.reading(opened, Verb::ReadMessage, client).await?;
        let (_, reader) = reading.content(self).await?;
        Ok(Download {
            guard: Guard::new(self, opened),
            rest: 0..reader.len(),
            size: Some(reader.len()),
            decoder: None,
            name: "message.eml".to_owned(),
            media_type: "message/rfc822".to_owned(),
            reader,
        })
    }
}

/// The parts that make the text.
fn texts<'a>(display: &'a Display<'a>) -> &'a [Numbered<'a>] {
    if display.text.is_empty() { &display.html } else { &display.text }
}

/// The bytes of these parts, as many as one page shows of all of them together, and whether that left something out.
async fn bodies(reader: &MessageReader, parts: &[Numbered<'_>]) -> Result<(Vec<Vec<u8>>, bool), Error> {
    let mut out = Vec::new();
    let mut room = TEXT_MAX;
    for Numbered { part, .. } in parts {
        let range = part.body.range();
        let size = (range.end - range.start).min(room);
        let cut = size < range.end - range.start;
        room -= size;
        let body = match size {
            0 => Vec::new(),
            _ => {
                reader.read(range.start..range.start + size).await.map_err(sealpost_delivery::Error::from)?
            }
        };
        out.push(body);
        if cut {
            return Ok((out, true));
        }
    }
    Ok((out, false))
}

/// Decoding and sanitising what strangers wrote may take a while: never on a thread that serves everybody.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Store(sealpost_store::Error::Panicked))
}

fn attached(file: &Numbered<'_>, number: u32) -> Attached {
    let size = file.part.size();
    // Four characters of base64 are three bytes, and each 78 of a line hold 76 of them.
    let size =
        if file.part.transfer() == Encoding::Base64 { size / 78 * 57 + size % 78 * 3 / 4 } else { size };
    Attached {
        number,
        name: file.part.file_name_or(&file.number),
        media_type: file.part.content_type(),
        size,
    }
}

/// Bytes on their way to a browser, read and decoded piece by piece.
///
/// It holds the body's key, so that it looks at each MiB whether the message is still kept: who takes a message back
/// while it leaves stops it.
pub struct Download {
    guard: Guard,
    reader: MessageReader,
    rest: Range<u64>,
    decoder: Option<Decoder>,
    size: Option<u64>,
    name: String,
    media_type: String,
}

impl Download {
    /// Its name, made safe.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its media type, as the sender said.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Its size in bytes, where that is known before it is decoded.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] through the store, when a byte was changed, and [`Error::Ended`] when the message ended
    /// meanwhile: then the rest never comes.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut out = Vec::new();
        while out.is_empty() {
            if self.rest.is_empty() {
                let Some(mut decoder) = self.decoder.take() else { return Ok(None) };
                decoder.finish(&mut out);
                continue;
            }
            self.guard.check().await?;
            let end = self.rest.end.min(self.rest.start + PIECE);
            let piece =
                self.reader.read(self.rest.start..end).await.map_err(sealpost_delivery::Error::from)?;
            if piece.is_empty() {
                return Err(Error::Corrupt { what: "blob", id: 0 });
            }
            self.rest.start += piece.len() as u64;
            self.guard.passed += piece.len() as u64;
            match &mut self.decoder {
                Some(decoder) => decoder.feed(&piece, &mut out),
                None => out = piece,
            }
        }
        Ok(Some(out))
    }
}

/// Whose copy leaves, and how much of it since the last look.
struct Guard {
    pickup: Pickup,
    keys: Arc<TenantKeys>,
    recipient: RecipientId,
    passed: u64,
}

impl Guard {
    fn new(pickup: &Pickup, opened: &Opened) -> Self {
        Self { pickup: pickup.clone(), keys: Arc::clone(opened.keys()), recipient: opened.id(), passed: 0 }
    }

    async fn check(&mut self) -> Result<(), Error> {
        if self.passed >= LOOK {
            self.passed = 0;
            if !self.pickup.still_kept(&self.keys, self.recipient).await? {
                return Err(Error::Ended);
            }
        }
        Ok(())
    }
}

/// The most of a text that a page shows; the file has all of it.
const TEXT_MAX: u64 = 1 << 20;
/// The most bytes of pictures inside a page.
const IMAGES_MAX: u64 = 8 << 20;
const IMAGE_TYPES: &[&str] = &["png", "jpeg", "gif", "webp"];
/// A sealed chunk.
const PIECE: u64 = 256 << 10;
/// How many bytes leave between two looks at whether they may.
const LOOK: u64 = 1 << 20;
