//! Flags between the wire's names and the store's bits.

use sealpost_model::Flags;

use crate::codec::Writer;
use crate::codec::command::Flag;

/// Flags with names of their own. The first five are RFC 9051's, section 2.3.2.
pub(crate) const NAMED: [(Flags, &str); 8] = [
    (Flags::SEEN, "\\Seen"),
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::DRAFT, "\\Draft"),
    (Flags::FORWARDED, "$Forwarded"),
    (Flags::SECURE_REPLY, "$SecureReply"),
    (Flags::RECEIPT, "$SealpostReceipt"),
];

/// The account's keywords: bit and name.
#[derive(Debug, Default)]
pub(crate) struct Keywords(pub Vec<(u32, String)>);

impl Keywords {
    /// The flag that a client names, if it is one that exists: `None` for `\Recent`, unknown system flags and keywords
    /// that nobody has used.
    pub fn flag(&self, flag: &Flag) -> Option<Flags> {
        match flag {
            Flag::Seen => Some(Flags::SEEN),
            Flag::Answered => Some(Flags::ANSWERED),
            Flag::Flagged => Some(Flags::FLAGGED),
            Flag::Deleted => Some(Flags::DELETED),
            Flag::Draft => Some(Flags::DRAFT),
            Flag::Recent | Flag::Other(_) => None,
            Flag::Keyword(name) => named(name).or_else(|| self.keyword(name)),
        }
    }

    fn keyword(&self, name: &str) -> Option<Flags> {
        let known = self.0.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        known.and_then(|&(bit, _)| Flags::keyword(bit))
    }

    /// Whether all keywords of these flags are known by name.
    pub fn knows(&self, flags: Flags) -> bool {
        flags.keywords().all(|bit| self.0.iter().any(|&(known, _)| known == bit))
    }

    /// Prints a list of flags.
    pub fn write(&self, w: &mut Writer, flags: Flags) {
        w.raw("(");
        let mut gap = "";
        for (_, name) in NAMED.iter().filter(|(flag, _)| flags.contains(*flag)) {
            w.raw(gap).raw(name);
            gap = " ";
        }
        for bit in flags.keywords() {
            if let Some((_, name)) = self.0.iter().find(|&&(known, _)| known == bit) {
                w.raw(gap).raw(name);
                gap = " ";
            }
        }
        w.raw(")");
    }

    /// Prints all flags that a message can carry.
    pub fn write_all(&self, w: &mut Writer) {
        w.raw("(");
        self.names(w, Flags::NONE);
        w.raw(")");
    }

    /// Prints all flags that a client can change, and that it can make more.
    pub fn write_permanent(&self, w: &mut Writer) {
        w.raw("(");
        self.names(w, Flags::FACTS);
        w.raw(" \\*)");
    }

    fn names(&self, w: &mut Writer, but: Flags) {
        let named = NAMED.iter().filter(|(flag, _)| !but.contains(*flag)).map(|(_, name)| *name);
        for (at, name) in named.chain(self.0.iter().map(|(_, name)| name.as_str())).enumerate() {
            w.raw(if at > 0 { " " } else { "" }).raw(name);
        }
    }
}

/// A keyword that has a bit of its own in every account.
pub(crate) fn named(name: &str) -> Option<Flags> {
    NAMED.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits() {
        let keywords = Keywords(vec![(8, "Junk".into()), (9, "$Label1".into())]);
        let both = Flags::SEEN.with(Flags::keyword(9).unwrap());
        let mut w = Writer::default();
        keywords.write(&mut w, both);
        assert_eq!(w.out, b"(\\Seen $Label1)"[..]);
        assert_eq!(keywords.flag(&Flag::Keyword("$label1".into())), Flags::keyword(9));
        assert_eq!(keywords.flag(&Flag::Keyword("$forwarded".into())), Some(Flags::FORWARDED));
        assert_eq!(keywords.flag(&Flag::Keyword("other".into())), None);
        assert_eq!(keywords.flag(&Flag::Recent), None);
        assert!(keywords.knows(both));
        assert!(!keywords.knows(Flags::keyword(10).unwrap()));
    }
}
