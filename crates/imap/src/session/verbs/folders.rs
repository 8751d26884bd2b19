//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 sections 6.3.4 to 6.3.8).

use sealpost_mailbox::Error;

use crate::session::Session;
use crate::session::place::{find, reach};
use crate::session::reply::{Halt, Reply};

pub(super) async fn create(s: &mut Session, name: &str) -> Result<Reply, Halt> {
    let place = reach(s, name).await?;
    s.services.mailboxes.create_folder(&place.caller, &place.name).await?;
    Ok(Reply::ok("CREATE completed"))
}

pub(super) async fn delete(s: &mut Session, name: &str) -> Result<Reply, Halt> {
    let (place, doomed) = find(s, name).await?;
    let doomed = doomed.ok_or(Error::NoFolder)?;
    s.services.mailboxes.delete_folder(&place.caller, &place.name).await?;
    // A client that deletes its open folder has closed it.
    let person = s.person()?;
    if person.selected.as_ref().is_some_and(|open| open.folder == doomed.id) {
        person.selected = None;
    }
    Ok(Reply::ok("DELETE completed"))
}

pub(super) async fn rename(s: &mut Session, from: &str, to: &str) -> Result<Reply, Halt> {
    let (from, to) = (reach(s, from).await?, reach(s, to).await?);
    if from.caller.access.target() != to.caller.access.target() {
        return Err(Reply::no("CANNOT", "A folder can't go to another mailbox; copy its messages").into());
    }
    s.services.mailboxes.rename_folder(&from.caller, &from.name, &to.name).await?;
    Ok(Reply::ok("RENAME completed"))
}

pub(super) async fn subscribe(s: &mut Session, name: &str, subscribed: bool) -> Result<Reply, Halt> {
    let place = match reach(s, name).await {
        // A mailbox that is no longer granted is not subscribed to.
        Err(_) if !subscribed => return Ok(Reply::ok("UNSUBSCRIBE completed")),
        place => place?,
    };
    match s.services.mailboxes.subscribe(&place.caller, &place.name, subscribed).await {
        // What is not there is not subscribed to.
        Err(Error::NoFolder) if !subscribed => {}
        done => done?,
    }
    Ok(Reply::ok(if subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }))
}
