//! A message while it arrives.

use sealpost_mailbox::{Upload, Uploaded};
use sealpost_message::headers;
use sealpost_model::Address;
use sealpost_policy::Reason;

use crate::{Delivery, Facts, Origin, Refused, head};

/// What is known of a message before its first byte.
pub struct Arrival {
    /// The door.
    pub origin: Origin,
    /// The `Received` field to put in front, with CR LF (RFC 5321 section 4.4); empty for the server's own mail.
    pub trace: String,
    /// The reverse-path, for `Return-Path` on mail from outside.
    pub return_path: String,
}

/// A message on its way in. Its header is held until it is whole, trimmed, and then everything is scanned and sealed
/// piece by piece. Dropping it forgets the message.
pub struct Incoming {
    upload: Upload,
    arrival: Arrival,
    /// The header so far; `None` once it has passed.
    header: Option<Vec<u8>>,
    facts: Facts,
    hops: usize,
    from_fields: usize,
    senders: Vec<Address>,
    id: String,
    date: String,
    limit: u64,
    received: u64,
}

/// A message that has arrived whole.
pub(crate) struct Arrived {
    pub(crate) uploaded: Uploaded,
    pub(crate) facts: Facts,
    pub(crate) hops: usize,
    pub(crate) from_fields: usize,
    pub(crate) senders: Vec<Address>,
}

/// The most bytes of a header.
const MAX_HEADER: usize = 256 << 10;

impl Delivery {
    /// Begins to take a message.
    pub fn begin(&self, arrival: Arrival) -> Incoming {
        let limit = self.inner.options.message_size;
        // Our own trace does not count against what the sender was promised.
        const TRACE: u64 = 4 << 10;
        let now = self.inner.clock.now();
        Incoming {
            upload: self.inner.mailboxes.upload(arrival.origin.tenant(), limit + TRACE),
            header: Some(Vec::with_capacity(2 << 10)),
            facts: Facts::default(),
            hops: 0,
            from_fields: 0,
            senders: Vec::new(),
            id: self.message_id(),
            date: now.rfc5322(),
            limit,
            received: 0,
            arrival,
        }
    }

    /// A new Message-ID of this server.
    pub fn message_id(&self) -> String {
        let random: [u8; 16] = self.inner.random.bytes();
        format!("<{:032x}@{}>", u128::from_be_bytes(random), self.inner.options.hostname)
    }
}

impl Incoming {
    /// The next bytes of the message, in any pieces.
    ///
    /// # Errors
    /// [`Reason::MessageTooLarge`], [`Reason::TagInvalid`], [`Reason::LinesInvalid`] for a header without end, and the
    /// store's. After an error the rest is not wanted.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.received += bytes.len() as u64;
        if self.received > self.limit {
            return Err(Reason::MessageTooLarge.into());
        }
        let Some(header) = &mut self.header else { return Ok(self.upload.write(bytes).await?) };
        let seen = header.len();
        header.extend_from_slice(bytes);
        match find_end(header, seen) {
            Some(end) if end <= MAX_HEADER => self.pass_header(end).await,
            None if header.len() <= MAX_HEADER => Ok(()),
            _ => Err(Reason::LinesInvalid.into()),
        }
    }

    /// What the header said, once it has passed.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Bytes so far.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Writes the header, of which `end` bytes are held, and what follows it.
    async fn pass_header(&mut self, end: usize) -> Result<(), Refused> {
        let held = self.header.take().unwrap_or_default();
        let (header, rest) = held.split_at(end);
        let head = head::read(header, self.arrival.origin, &self.id, &self.date)?;
        if matches!(self.arrival.origin, Origin::Inbound { .. }) {
            self.upload
                .write(headers::field("Return-Path", &format!("<{}>", self.arrival.return_path)).as_bytes())
                .await?;
        }
        self.upload.write(self.arrival.trace.as_bytes()).await?;
        self.upload.write(head.added.as_bytes()).await?;
        let mut at = 0;
        for (range, instead) in &head.edits {
            self.upload.write(&header[at..range.start]).await?;
            self.upload.write_hidden(&header[range.clone()]).await?;
            self.upload.write(instead).await?;
            at = range.end;
        }
        self.upload.write(&header[at..]).await?;
        self.upload.write(rest).await?;
        (self.facts, self.hops, self.from_fields) = (head.facts, head.hops, head.from_fields);
        self.senders = head.senders;
        Ok(())
    }

    pub(crate) async fn finish(mut self, delivery: &Delivery) -> Result<Arrived, Refused> {
        if let Some(header) = &self.header {
            let end = header.len();
            self.pass_header(end).await?;
        }
        let uploaded = delivery.inner.mailboxes.finish(self.upload).await?;
        let Self { facts, hops, from_fields, senders, .. } = self;
        Ok(Arrived { uploaded, facts, hops, from_fields, senders })
    }
}

/// Where the header ends, behind its blank line; looks only where `seen` bytes don't tell already.
fn find_end(header: &[u8], seen: usize) -> Option<usize> {
    if header.starts_with(b"\r\n") {
        return Some(2);
    }
    let from = seen.saturating_sub(3);
    memchr::memmem::find(&header[from..], b"\r\n\r\n").map(|at| from + at + 4)
}
