//! RETR and TOP (RFC 1939 sections 5 and 7): read and sent in pieces.

use super::{Halt, Session, no};
use crate::codec::Stuffer;
use crate::session::End;

/// Bytes that are read at a time: a chunk of a sealed body.
const PIECE: u64 = 256 * 1024;

pub(super) async fn retr(s: &mut Session, number: u32) -> Result<(), Halt> {
    send(s, number, Stuffer::whole()).await?;
    if let Some(message) = s.person()?.maildrop.message(number) {
        message.read = true;
    }
    Ok(())
}

pub(super) async fn top(s: &mut Session, number: u32, lines: u32) -> Result<(), Halt> {
    send(s, number, Stuffer::top(lines)).await
}

async fn send(s: &mut Session, number: u32, mut stuffer: Stuffer) -> Result<(), Halt> {
    let person = s.person()?;
    let caller = person.caller;
    let id = person.maildrop.message(number).ok_or_else(|| no("There is no such message"))?.id;
    let reader = s.services.mailboxes.reader(&caller, id).await?;
    // The first piece is read before anything is promised: damage can still be said.
    let size = reader.len();
    let mut end = PIECE.min(size);
    let mut piece = reader.read(0..end).await?;
    let mut out = format!("+OK {size} octets\r\n").into_bytes();
    loop {
        stuffer.feed(&piece, &mut out);
        s.stream.write(&out).await?;
        out.clear();
        if end >= size || stuffer.is_done() {
            break;
        }
        let start = end;
        end = (end + PIECE).min(size);
        // A response that has begun can't be taken back, and half a message must not look like a whole one.
        piece = reader.read(start..end).await.map_err(|error| {
            tracing::error!(%error, "a message can't be read to its end");
            End::Closed
        })?;
    }
    stuffer.finish(&mut out);
    Ok(s.stream.write(&out).await?)
}
