//! APPEND (RFC 9051 section 6.3.12): the message goes from the wire into the sealing writer, piece by piece.

use sealpost_mailbox::{Caller, Error, Folder};
use sealpost_model::{Flags, Time};

use super::store;
use crate::codec::command::Flag;
use crate::codec::{Body, Tag, Verb, append as parse, tag_of};
use crate::session::Session;
use crate::session::flags::Keywords;
use crate::session::place::target;
use crate::session::reply::{End, Halt, Reply};

/// Takes APPEND from its head on. The tag, if there was one, and the answer.
pub(in crate::session) async fn append(
    s: &mut Session,
    head: &[u8],
    size: u64,
    waits: bool,
) -> (Option<Tag>, Result<Reply, Halt>) {
    if let Err(halt) = s.person() {
        s.link.framer.refuse_body(waits);
        return (tag_of(head), Err(halt));
    }
    let (tag, verb) = match parse(head) {
        Ok(command) => (command.tag, command.verb),
        Err(error) => {
            s.link.framer.refuse_body(waits);
            return (error.tag.clone(), Err(Reply::bad(error.to_string()).into()));
        }
    };
    let Verb::Append { folder, flags, received } = verb else {
        s.link.framer.refuse_body(waits);
        return (Some(tag), Ok(Reply::bad("That is no APPEND")));
    };
    match ready(s, &folder, &flags, size).await {
        Ok((caller, folder, flags)) => (Some(tag), take(s, &caller, &folder, flags, received, waits).await),
        Err(halt) => {
            s.link.framer.refuse_body(waits);
            (Some(tag), Err(halt))
        }
    }
}

/// All that can be refused before the message comes.
async fn ready(
    s: &mut Session,
    folder: &str,
    flags: &[Flag],
    size: u64,
) -> Result<(Caller, Folder, Flags), Halt> {
    let largest = s.services.largest_message;
    s.person()?;
    if size > largest {
        return Err(Error::TooLarge(largest).into());
    }
    if size == 0 {
        return Err(Reply::no("CANNOT", "An empty message can't be kept").into());
    }
    let (place, folder) = target(s, folder).await?;
    let (caller, mailboxes) = (place.caller, &s.services.mailboxes);
    if !mailboxes.has_room(caller.access.target(), size).await? {
        return Err(Error::OverQuota.into());
    }
    let keywords = Keywords(mailboxes.keywords(&caller).await?);
    let flags = store::bits(mailboxes, &caller, &keywords, flags, true).await?;
    Ok((caller, folder, flags))
}

async fn take(
    s: &mut Session,
    caller: &Caller,
    folder: &Folder,
    flags: Flags,
    received: Option<Time>,
    waits: bool,
) -> Result<Reply, Halt> {
    if waits {
        s.link.w.raw("+ Send the message\r\n");
    }
    let Some(person) = &mut s.person else { return Err(End::Closed.into()) };
    let mailboxes = &s.services.mailboxes;
    let mut upload = mailboxes.upload(person.login.tenant, s.services.largest_message);
    let mut fault: Option<Halt> = None;
    // Whatever goes wrong, the literal is taken to its end: the client has been told to send it.
    loop {
        match s.link.body().await? {
            Body::Piece(_) if fault.is_some() => {}
            Body::Piece(piece) if memchr::memchr(0, &piece).is_some() => {
                fault = Some(Reply::no("CANNOT", "The message holds NUL bytes, which no mail may").into());
            }
            Body::Piece(piece) => fault = upload.write(&piece).await.err().map(Halt::from),
            Body::Wait => {}
            Body::Trailing => fault = Some(Reply::bad("The command must end behind the message").into()),
            Body::End => break,
        }
        if matches!(&fault, Some(Halt::Reply(reply)) if reply.is_bad()) {
            break;
        }
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    let (validity, uid) = mailboxes.append(caller, folder.id, upload, flags, received).await?;
    person.stale = true;
    Ok(Reply::ok("APPEND completed").code(format!("APPENDUID {validity} {uid}")))
}
