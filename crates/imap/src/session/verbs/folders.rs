//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 sections 6.3.4 to 6.3.8).

use sealpost_mailbox::{Caller, Error, Folder, Mailboxes};

use crate::session::Session;
use crate::session::reply::{Halt, Reply};

pub(super) async fn create(s: &mut Session, name: &str) -> Result<Reply, Halt> {
    let caller = s.person()?.caller;
    s.services.mailboxes.create_folder(&caller, name).await?;
    Ok(Reply::ok("CREATE completed"))
}

pub(super) async fn delete(s: &mut Session, name: &str) -> Result<Reply, Halt> {
    let caller = s.person()?.caller;
    let doomed = find(&s.services.mailboxes, &caller, name).await?.ok_or(Error::NoFolder)?;
    s.services.mailboxes.delete_folder(&caller, name).await?;
    // A client that deletes its open folder has closed it.
    let person = s.person()?;
    if person.selected.as_ref().is_some_and(|open| open.folder == doomed.id) {
        person.selected = None;
    }
    Ok(Reply::ok("DELETE completed"))
}

pub(super) async fn rename(s: &mut Session, from: &str, to: &str) -> Result<Reply, Halt> {
    let caller = s.person()?.caller;
    s.services.mailboxes.rename_folder(&caller, from, to).await?;
    Ok(Reply::ok("RENAME completed"))
}

pub(super) async fn subscribe(s: &mut Session, name: &str, subscribed: bool) -> Result<Reply, Halt> {
    let caller = s.person()?.caller;
    match s.services.mailboxes.subscribe(&caller, name, subscribed).await {
        // What is not there is not subscribed to.
        Err(Error::NoFolder) if !subscribed => {}
        done => done?,
    }
    Ok(Reply::ok(if subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }))
}

/// The folder of a name, if there is one.
pub(super) async fn find(
    mailboxes: &Mailboxes,
    caller: &Caller,
    name: &str,
) -> Result<Option<Folder>, Error> {
    Ok(mailboxes.folders(caller).await?.into_iter().find(|folder| folder.name == name))
}

/// The folder that messages shall go to; the client may make it if there is none.
pub(super) async fn target(mailboxes: &Mailboxes, caller: &Caller, name: &str) -> Result<Folder, Halt> {
    let found = find(mailboxes, caller, name).await?;
    found.ok_or_else(|| Reply::no("TRYCREATE", "There is no such folder").into())
}
