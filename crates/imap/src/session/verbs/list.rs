//! LIST with its extensions (RFC 9051 section 6.3.9, RFC 5258, 5819, 6154) and LSUB (RFC 3501 section 6.3.9).

use sealpost_mailbox::{Folder, Special};

use super::status;
use crate::codec::Writer;
use crate::codec::command::List;
use crate::session::Session;
use crate::session::place;
use crate::session::reply::{Halt, Reply};

/// A folder that is listed, and how.
#[derive(Debug, PartialEq, Eq)]
struct Listed<'a> {
    folder: &'a Folder,
    children: bool,
    /// It stands here because a folder below it is subscribed (CHILDINFO).
    child_subscribed: bool,
}

pub(super) async fn list(s: &mut Session, asked: &List) -> Result<Reply, Halt> {
    s.person()?;
    if asked.patterns.iter().all(String::is_empty) {
        // The delimiter is asked for, and the root of the reference.
        s.link.w.untagged("LIST (\\Noselect) \"/\" \"\"");
        return Ok(Reply::ok("LIST completed"));
    }
    let folders = place::folders(s).await?;
    for listed in choose(&folders, asked) {
        let w = &mut s.link.w;
        w.raw("* LIST (");
        w.raw(attributes(&listed));
        w.raw(") \"/\" ").folder(&listed.folder.name);
        if listed.child_subscribed {
            w.raw(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        w.end();
        if let Some(items) = asked.status.as_ref().filter(|_| !is_node(listed.folder)) {
            status::write(w, listed.folder, items, s.services.largest_message);
        }
        s.link.spill().await?;
    }
    Ok(Reply::ok("LIST completed"))
}

pub(super) async fn lsub(s: &mut Session, reference: &str, pattern: &str) -> Result<Reply, Halt> {
    let folders = place::folders(s).await?;
    let pattern = format!("{reference}{pattern}");
    for folder in folders.iter().filter(|folder| matches(&pattern, &folder.name)) {
        // A parent stands in for subscribed children that `%` does not reach.
        let parent =
            !folder.subscribed && pattern.contains('%') && any_below(&folders, folder, |f| f.subscribed);
        if folder.subscribed || parent {
            write_lsub(&mut s.link.w, folder, parent);
        }
    }
    Ok(Reply::ok("LSUB completed"))
}

fn write_lsub(w: &mut Writer, folder: &Folder, parent: bool) {
    w.raw(if parent { "* LSUB (\\Noselect) \"/\" " } else { "* LSUB () \"/\" " }).folder(&folder.name).end();
}

/// The folders to list, in the order of the account.
fn choose<'a>(folders: &'a [Folder], asked: &List) -> Vec<Listed<'a>> {
    let patterns: Vec<String> =
        asked.patterns.iter().map(|pattern| format!("{}{pattern}", asked.reference)).collect();
    let mut found = Vec::new();
    for folder in folders.iter().filter(|f| patterns.iter().any(|pattern| matches(pattern, &f.name))) {
        let child_subscribed = asked.recursive && any_below(folders, folder, |f| f.subscribed);
        let chosen =
            (!asked.subscribed || folder.subscribed) && (!asked.special || special(folder).is_some());
        if chosen || child_subscribed {
            found.push(Listed { folder, children: any_below(folders, folder, |_| true), child_subscribed });
        }
    }
    found
}

fn any_below(folders: &[Folder], above: &Folder, test: impl Fn(&Folder) -> bool) -> bool {
    let below = |name: &str| name.strip_prefix(above.name.as_str()).is_some_and(|rest| rest.starts_with('/'));
    folders.iter().any(|folder| below(&folder.name) && test(folder))
}

fn attributes(listed: &Listed<'_>) -> String {
    let mut words = vec![if listed.children { "\\HasChildren" } else { "\\HasNoChildren" }];
    if is_node(listed.folder) {
        words.insert(0, "\\Noselect");
    }
    if listed.folder.subscribed {
        words.push("\\Subscribed");
    }
    words.extend(special(listed.folder));
    words.join(" ")
}

/// Whether it only stands above others' folders.
const fn is_node(folder: &Folder) -> bool {
    folder.uidvalidity == 0
}

/// The folder's special use (RFC 6154); INBOX has none there.
fn special(folder: &Folder) -> Option<&'static str> {
    Some(match folder.special? {
        Special::Inbox => return None,
        Special::Sent => "\\Sent",
        Special::Drafts => "\\Drafts",
        Special::Trash => "\\Trash",
        Special::Junk => "\\Junk",
        Special::Archive => "\\Archive",
    })
}

/// Whether a name fits a pattern: `*` is anything, `%` anything but `/`. INBOX fits in any case.
///
/// The places of the pattern that can be reached are walked along the name, so that no pattern costs more than its
/// length for each letter.
fn matches(pattern: &str, name: &str) -> bool {
    /// Longer than any folder's name can be.
    const LONGEST: usize = 1_024;
    if name == "INBOX" && pattern.eq_ignore_ascii_case("INBOX") {
        return true;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    if pattern.len() > LONGEST {
        return false;
    }
    // at[i]: the name so far fits the first i letters of the pattern
    let mut at = vec![false; pattern.len() + 1];
    at.insert(0, true);
    at.truncate(pattern.len() + 1);
    skip(&pattern, &mut at);
    for letter in name.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (i, wanted) in pattern.iter().enumerate() {
            if !at.get(i).copied().unwrap_or(false) {
                continue;
            }
            match wanted {
                '*' => set(&mut next, i),
                '%' if letter != '/' => set(&mut next, i),
                '%' => {}
                wanted if *wanted == letter => set(&mut next, i + 1),
                _ => {}
            }
        }
        skip(&pattern, &mut next);
        at = next;
    }
    at.last().copied().unwrap_or(false)
}

/// Wildcards fit nothing, too.
fn skip(pattern: &[char], at: &mut [bool]) {
    for (i, wanted) in pattern.iter().enumerate() {
        if matches!(wanted, '*' | '%') && at.get(i).copied().unwrap_or(false) {
            set(at, i + 1);
        }
    }
}

fn set(at: &mut [bool], i: usize) {
    if let Some(slot) = at.get_mut(i) {
        *slot = true;
    }
}

#[cfg(test)]
mod tests {
    use sealpost_model::{FolderId, Id};

    use super::*;

    fn folder(name: &str, subscribed: bool, special: Option<Special>) -> Folder {
        Folder {
            id: FolderId::from_raw(1),
            name: name.into(),
            special,
            subscribed,
            uidvalidity: 1,
            uidnext: 1,
            modseq: 1,
            messages: 0,
            unseen: 0,
        }
    }

    fn asked(pattern: &str) -> List {
        List {
            subscribed: false,
            special: false,
            recursive: false,
            reference: String::new(),
            patterns: vec![pattern.into()],
            status: None,
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a/*", "a/b/c", true),
            ("a/*", "a", false),
            ("a*", "a", true),
            ("*c", "a/b/c", true),
            ("*%*b", "xxb", true),
            ("inbox", "INBOX", true),
            ("in*", "INBOX", false),
            ("Sent", "sent", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        assert!(matches(&"*%".repeat(500), &"a/".repeat(500)));
    }

    #[test]
    fn what_is_listed() {
        let folders = [
            folder("INBOX", true, Some(Special::Inbox)),
            folder("Sent", true, Some(Special::Sent)),
            folder("a", false, None),
            folder("a/b", true, None),
        ];
        let names = |asked: &List| -> Vec<String> {
            choose(&folders, asked).iter().map(|l| format!("{} {}", l.folder.name, attributes(l))).collect()
        };
        assert_eq!(
            names(&asked("%")),
            [
                "INBOX \\HasNoChildren \\Subscribed",
                "Sent \\HasNoChildren \\Subscribed \\Sent",
                "a \\HasChildren"
            ]
        );
        assert_eq!(
            names(&List { special: true, ..asked("*") }),
            ["Sent \\HasNoChildren \\Subscribed \\Sent"]
        );
        let recursive = List { subscribed: true, recursive: true, ..asked("a%") };
        let found = choose(&folders, &recursive);
        assert_eq!(found.len(), 1);
        assert!(found[0].child_subscribed);
        assert_eq!(
            names(&List { reference: "a/".into(), ..asked("%") }),
            ["a/b \\HasNoChildren \\Subscribed"]
        );
    }
}
