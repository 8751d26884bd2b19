//! Whose mailbox a folder's name means (RFC 2342): one's own, `Other Users/ADDRESS/...`, or `Shared/ADDRESS/...`.
//!
//! A granted mailbox is looked up anew for each command, so that a grant that has ended opens nothing. What is open of one
//! is looked at again whenever sessions end somewhere and before each thing that is told of it.

use std::sync::Arc;

use sealpost_identity::{Granted, Identity};
use sealpost_mailbox::{Caller, Error, Folder, Mailboxes};
use sealpost_policy::Rights;

use super::reply::{End, Halt, Reply};
use super::{Person, Session};

/// Above mailboxes that belong to other people.
pub(super) const OTHERS: &str = "Other Users";
/// Above mailboxes that belong to nobody.
pub(super) const SHARED: &str = "Shared";

/// A mailbox that is meant, and the folder's name in it.
pub(super) struct Place {
    pub caller: Caller,
    /// The name within the mailbox; empty for the mailbox itself.
    pub name: String,
    /// What stands before it in the client's names: nothing for one's own.
    pub prefix: String,
    /// What may be done; everything with one's own.
    pub rights: Option<Rights>,
}

/// The mailbox that a client's name lies in.
pub(super) async fn reach(s: &mut Session, name: &str) -> Result<Place, Halt> {
    let services = Arc::clone(&s.services);
    let person = s.person()?;
    let own = Place { caller: person.own, name: name.to_owned(), prefix: String::new(), rights: None };
    let Some((root, rest)) = root_of(name) else { return Ok(own) };
    let (address, below) = rest.split_once('/').unwrap_or((rest, ""));
    let granted = granted(&services.identity, person).await?;
    let found =
        granted.iter().find(|g| above(g) == root && g.address.to_string().eq_ignore_ascii_case(address));
    let Some(found) = found else {
        return Err(Reply::no("NONEXISTENT", "There is no such mailbox, or it is not open to you").into());
    };
    let name = if below.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { below.to_owned() };
    let caller = open(&services.identity, person, found).await?;
    Ok(Place { caller, name, prefix: prefix(found), rights: Some(found.rights) })
}

/// The folder of a client's name, with that name, and the mailbox it lies in.
pub(super) async fn find(s: &mut Session, name: &str) -> Result<(Place, Option<Folder>), Halt> {
    let place = reach(s, name).await?;
    let folders = s.services.mailboxes.folders(&place.caller).await?;
    let mut found = folders.into_iter().find(|folder| folder.name == place.name);
    if let Some(folder) = &mut found {
        folder.name = format!("{}{}", place.prefix, folder.name);
    }
    Ok((place, found))
}

/// The folder that messages shall go to; the client may make it if there is none.
pub(super) async fn target(s: &mut Session, name: &str) -> Result<(Place, Folder), Halt> {
    match find(s, name).await? {
        (place, Some(folder)) => Ok((place, folder)),
        _ => Err(Reply::no("TRYCREATE", "There is no such folder").into()),
    }
}

/// The folders of all mailboxes that the person may see, under the client's names. What only stands above others has
/// UIDVALIDITY 0, which no folder has.
pub(super) async fn folders(s: &mut Session) -> Result<Vec<Folder>, Halt> {
    let (services, mut roots) = (Arc::clone(&s.services), Vec::new());
    let person = s.person()?;
    let mut all = services.mailboxes.folders(&person.own).await?;
    for granted in granted(&services.identity, person).await? {
        if granted.rights.right().is_none() {
            continue;
        }
        let caller = open(&services.identity, person, &granted).await?;
        let theirs = theirs(&services.mailboxes, &caller, &granted).await?;
        let Some(like) = theirs.first().cloned() else { continue };
        let node =
            |name: String| Folder { name, uidvalidity: 0, special: None, subscribed: false, ..like.clone() };
        if !roots.contains(&above(&granted)) {
            roots.push(above(&granted));
            all.push(node(above(&granted).to_owned()));
        }
        all.push(node(prefix(&granted).trim_end_matches('/').to_owned()));
        all.extend(theirs);
    }
    Ok(all)
}

/// Whether what is open is open to the person still.
///
/// # Errors
/// [`End::Revoked`]: its grant has ended.
pub(super) async fn still_open(identity: &Identity, person: &Person) -> Result<(), End> {
    let account = person.caller.access.target();
    if person.selected.is_none() || account == person.own.access.target() {
        return Ok(());
    }
    match identity.rights_on(person.login.person, account).await {
        Ok(rights) if rights.right() >= Some(person.caller.access.right()) => Ok(()),
        Ok(_) => Err(End::Revoked),
        Err(error) => {
            tracing::warn!(%error, "can't check a grant");
            Err(End::Revoked)
        }
    }
}

async fn theirs(mailboxes: &Mailboxes, caller: &Caller, granted: &Granted) -> Result<Vec<Folder>, Error> {
    let mut folders = mailboxes.folders(caller).await?;
    for folder in &mut folders {
        folder.name = format!("{}{}", prefix(granted), folder.name);
        // A program files its own sent mail and rubbish into its own mailbox.
        folder.special = None;
    }
    Ok(folders)
}

async fn granted(identity: &Identity, person: &Person) -> Result<Vec<Granted>, Halt> {
    identity.granted_to(person.login.person).await.map_err(|error| {
        tracing::warn!(%error, "can't read somebody's grants");
        Reply::no("UNAVAILABLE", "Other mailboxes can't be listed at the moment; try again later").into()
    })
}

async fn open(identity: &Identity, person: &Person, granted: &Granted) -> Result<Caller, Halt> {
    let Some(right) = granted.rights.right() else {
        return Err(Reply::no("NOPERM", "You may write as this address, and not see its mailbox").into());
    };
    match identity.mailbox(&person.login, granted.account, right).await {
        Ok(access) => Ok(Caller { access, client: person.own.client }),
        Err(error) => {
            tracing::warn!(%error, "a granted mailbox can't be opened");
            Err(Reply::no("NOPERM", "This mailbox is not open to you").into())
        }
    }
}

fn above(granted: &Granted) -> &'static str {
    if granted.shared { SHARED } else { OTHERS }
}

fn prefix(granted: &Granted) -> String {
    format!("{}/{}/", above(granted), granted.address)
}

/// The root that a name lies below, and the rest of it.
fn root_of(name: &str) -> Option<(&'static str, &str)> {
    [OTHERS, SHARED].into_iter().find_map(|root| {
        let rest = name.strip_prefix(root)?;
        if rest.is_empty() { Some((root, "")) } else { rest.strip_prefix('/').map(|rest| (root, rest)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ones_own_stay_ones_own() {
        assert_eq!(root_of("Shared/front@clinic.test/INBOX"), Some((SHARED, "front@clinic.test/INBOX")));
        assert_eq!(root_of("Other Users"), Some((OTHERS, "")));
        for own in ["INBOX", "Shared letters", "Sharedx/y", "a/Shared/b", "other users/x"] {
            assert_eq!(root_of(own), None, "{own}");
        }
    }
}
