//! One file a verb, or a family of verbs that differ by a word.

mod acl;
pub(super) mod append;
mod authenticate;
mod close;
mod copy;
mod enable;
mod expunge;
mod fetch;
mod folders;
mod id;
pub(super) mod idle;
mod list;
mod login;
pub(super) mod logout;
mod namespace;
mod search;
mod select;
pub(super) mod starttls;
mod status;
mod store;

use std::ops::Range;

use sealpost_message::Span;

use super::reply::{Halt, Reply};
use super::{Person, Selected, Session};
use crate::codec::{Tag, Verb};

/// Does what the client asked for.
pub(super) async fn obey(s: &mut Session, tag: &Tag, verb: Verb) -> Result<Reply, Halt> {
    match verb {
        Verb::Capability => {
            let capabilities = s.capabilities();
            s.link.w.untagged(format!("CAPABILITY {capabilities}"));
            Ok(Reply::ok("CAPABILITY completed"))
        }
        Verb::Noop => {
            look(s);
            Ok(Reply::ok("NOOP completed"))
        }
        Verb::Logout => logout::logout(s),
        Verb::StartTls => starttls::starttls(s),
        Verb::Login { login, password } => login::login(s, login, password).await,
        Verb::Authenticate { mechanism, initial } => authenticate::authenticate(s, &mechanism, initial).await,
        Verb::Enable(names) => enable::enable(s, &names),
        Verb::Id(_) => Ok(id::id(s)),
        Verb::Namespace => namespace::namespace(s),
        Verb::MyRights(name) => acl::my_rights(s, &name).await,
        Verb::List(asked) => list::list(s, &asked).await,
        Verb::Lsub { reference, pattern } => list::lsub(s, &reference, &pattern).await,
        Verb::Select { folder, read_only, condstore } => {
            select::select(s, &folder, read_only, condstore).await
        }
        Verb::Create(name) => folders::create(s, &name).await,
        Verb::Delete(name) => folders::delete(s, &name).await,
        Verb::Rename { from, to } => folders::rename(s, &from, &to).await,
        Verb::Subscribe(name) => folders::subscribe(s, &name, true).await,
        Verb::Unsubscribe(name) => folders::subscribe(s, &name, false).await,
        Verb::Status { folder, items } => status::status(s, &folder, &items).await,
        Verb::Check => {
            selected(s)?;
            look(s);
            Ok(Reply::ok("CHECK completed"))
        }
        Verb::Close => close::close(s).await,
        Verb::Unselect => close::unselect(s),
        Verb::Expunge(uids) => expunge::expunge(s, uids.as_ref()).await,
        Verb::Search { uid, result, key } => search::search(s, tag, uid, result.as_deref(), &key).await,
        Verb::SearchUnknownCharset => {
            Ok(Reply::no("BADCHARSET (US-ASCII UTF-8)", "This server searches in UTF-8"))
        }
        Verb::Fetch { uid, set, items, changed_since } => {
            fetch::fetch(s, uid, &set, items, changed_since).await
        }
        Verb::Store { uid, set, unchanged_since, change, silent, flags } => {
            store::store(s, store::Asked { uid, set: &set, unchanged_since, change, silent, flags: &flags })
                .await
        }
        Verb::Copy { uid, set, folder, moves } => copy::copy(s, uid, &set, &folder, moves).await,
        // Both have frames of their own.
        Verb::Append { .. } | Verb::Idle => Ok(Reply::bad("This can't be done here")),
    }
}

/// Looks for changes at the end of this command, whatever the feed says.
fn look(s: &mut Session) {
    if let Some(person) = &mut s.person {
        person.stale = true;
    }
}

/// The person and their open folder, or the answer that there is none.
fn selected(s: &mut Session) -> Result<(&mut Person, &mut super::Link, &super::Services), Halt> {
    let Session { link, services, person, .. } = s;
    match person {
        None => Err(Reply::bad("Sign in first").into()),
        Some(Person { selected: None, .. }) => Err(Reply::bad("Open a folder first, with SELECT").into()),
        Some(person) => Ok((person, link, services)),
    }
}

/// As much of a header as fields are looked for in. That of an attached message may be as long as the message, and it is
/// held whole.
fn head(header: Span) -> Range<u64> {
    const LONGEST: u64 = 1024 * 1024;
    header.start..header.end.min(header.start.saturating_add(LONGEST))
}

/// The open folder if it may be changed.
fn writable(folder: &Selected) -> Result<(), Halt> {
    if folder.read_only {
        return Err(Reply::no("READ-ONLY", "The folder is open for reading only; open it with SELECT").into());
    }
    Ok(())
}
