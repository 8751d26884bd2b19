//! What a recipient reads: the text, the HTML, a file, the message itself. Each reading is in the log before its first
//! byte leaves (S53).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use sealpost_audit::Verb;
use sealpost_delivery::MessageReader;
use sealpost_message::decode::Decoder;
use sealpost_message::{Encoding, Numbered, encode, html, text};
use sealpost_model::{Client, Time};

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
        self.reading(opened, Verb::ReadMessage, client).await?;
        let (facts, reader) = self.content(opened).await?;
        let display = facts.summary.structure.display();
        let mut out = String::new();
        let mut cut = false;
        let parts = if display.text.is_empty() { &display.html } else { &display.text };
        for Numbered { part, .. } in parts {
            let room = TEXT_MAX.saturating_sub(out.len() as u64);
            let range = part.body.range();
            cut |= range.end - range.start > room;
            let range = range.start..range.end.min(range.start + room);
            let body = reader.read(range).await.map_err(sealpost_delivery::Error::from)?;
            if !out.is_empty() {
                out.push_str("\n\n");
            }
            out.push_str(&text::of(part, &body));
        }
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
        self.reading(opened, Verb::ReadMessage, client).await?;
        let (facts, reader) = self.content(opened).await?;
        let display = facts.summary.structure.display();
        let read = async |range: Range<u64>| reader.read(range).await.map_err(sealpost_delivery::Error::from);
        let mut images = HashMap::new();
        let mut room = IMAGES_MAX;
        for Numbered { part, .. } in &display.inline {
            let Some(cid) = part.cid() else { continue };
            let known = IMAGE_TYPES.contains(&part.subtype.as_str());
            if !known || part.size() > room {
                continue;
            }
            room -= part.size();
            let body = sealpost_message::decode::bytes(part.transfer(), &read(part.body.range()).await?);
            images.insert(
                cid.to_owned(),
                format!("data:image/{};base64,{}", part.subtype, encode::base64(&body)),
            );
        }
        let mut out = String::new();
        for Numbered { part, .. } in &display.html {
            let range = part.body.range();
            let body = read(range.start..range.end.min(range.start + TEXT_MAX)).await?;
            let source = sealpost_message::decode::text(part.transfer(), part.charset().as_deref(), &body);
            if part.is("text", "html") {
                out.push_str(&html::sanitize_with_images(&source, &images));
            } else {
                // Plain text between formatted parts.
                out.push_str("<pre>");
                out.push_str(&html::escape(&source));
                out.push_str("</pre>");
            }
        }
        Ok((!display.html.is_empty()).then_some(out))
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
        self.reading(opened, Verb::PickupAttachment, client).await?;
        let (facts, reader) = self.content(opened).await?;
        let display = facts.summary.structure.display();
        let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        let Some(file) = display.attachments.get(at) else { return Ok(None) };
        Ok(Some(Download {
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
        self.reading(opened, Verb::ReadMessage, client).await?;
        let (_, reader) = self.content(opened).await?;
        Ok(Download {
            rest: 0..reader.len(),
            size: Some(reader.len()),
            decoder: None,
            name: "message.eml".to_owned(),
            media_type: "message/rfc822".to_owned(),
            reader,
        })
    }

    /// Facts and body, through the life key.
    async fn content(&self, opened: &Opened) -> Result<(Facts, MessageReader), Error> {
        let row = &opened.found.row;
        let life = row.life_key(self)?;
        let facts = row.facts(&life)?;
        let key = row.blob_key(&life)?;
        let summary = Arc::new(facts.summary.clone());
        let reader = MessageReader::open(self.inner.store.clone(), row.blob, key, summary)
            .await
            .map_err(sealpost_delivery::Error::from)?;
        Ok((facts, reader))
    }
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
pub struct Download {
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
    /// [`Error::Corrupt`] through the store, when a byte was changed: then the rest never comes.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut out = Vec::new();
        while out.is_empty() {
            if self.rest.is_empty() {
                let Some(mut decoder) = self.decoder.take() else { return Ok(None) };
                decoder.finish(&mut out);
                continue;
            }
            let end = self.rest.end.min(self.rest.start + PIECE);
            let piece =
                self.reader.read(self.rest.start..end).await.map_err(sealpost_delivery::Error::from)?;
            if piece.is_empty() {
                return Err(Error::Corrupt { what: "blob", id: 0 });
            }
            self.rest.start += piece.len() as u64;
            match &mut self.decoder {
                Some(decoder) => decoder.feed(&piece, &mut out),
                None => out = piece,
            }
        }
        Ok(Some(out))
    }
}

/// The most of a text that a page shows; the file has all of it.
const TEXT_MAX: u64 = 1 << 20;
/// The most bytes of pictures inside a page.
const IMAGES_MAX: u64 = 8 << 20;
const IMAGE_TYPES: &[&str] = &["png", "jpeg", "gif", "webp"];
/// A sealed chunk.
const PIECE: u64 = 256 << 10;
