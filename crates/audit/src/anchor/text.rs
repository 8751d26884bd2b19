//! What an anchor holds, as text: for each log the newest checkpoint, and those that a restore left behind.
//!
//! ```text
//! sealpost-anchor-1 500 mail.clinic.test/log/4f2a90c1d3e5b677+a1b2c3d4+AQ..
//! mail.clinic.test/log/4f2a90c1d3e5b677
//! 15368
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — mail.clinic.test/log/4f2a90c1d3e5b677 Az3grl...
//!
//! ```
//!
//! A block whose first word is `sealpost-anchor-lost-1` is a checkpoint of a history that a `restored` entry says was
//! lost: evidence, kept for ever.

use std::collections::BTreeMap;

use sealpost_model::Id;

use crate::checkpoint::{self, Signed};

/// A checkpoint with the key that verifies it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Anchored {
    pub verifier: String,
    pub signed: Signed,
}

/// What an anchor knows of one log.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Chain {
    /// The newest.
    pub current: Option<Anchored>,
    /// What restores left behind, oldest first.
    pub lost: Vec<Anchored>,
}

/// All that an anchor holds, by tenant.
pub(crate) type Known = BTreeMap<i64, Chain>;

/// Reads an anchor's text; `None` when it is not one, or was changed.
pub(crate) fn parse(text: &str) -> Option<Known> {
    let mut known = Known::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (head, after) = rest.split_once('\n')?;
        let (kind, head) = head.split_once(' ')?;
        let (tenant, verifier) = head.split_once(' ')?;
        let public = checkpoint::parse_verifier(verifier)?;
        let end = after
            .find("\n\n")
            .and_then(|blank| Some(blank + 2 + after.get(blank + 2..)?.find("\n\n")? + 1))?;
        let signed = checkpoint::verify(&public, after.get(..end)?)?;
        let anchored = Anchored { verifier: verifier.into(), signed };
        let chain = known.entry(tenant.parse().ok()?).or_default();
        match kind {
            CURRENT if chain.current.is_none() => chain.current = Some(anchored),
            LOST => chain.lost.push(anchored),
            _ => return None,
        }
        rest = after.get(end + 1..)?;
    }
    Some(known)
}

/// The text of what is known.
pub(crate) fn print(known: &Known) -> String {
    let mut out = String::new();
    for (tenant, chain) in known {
        let lost = chain.lost.iter().map(|a| (LOST, a));
        for (kind, a) in lost.chain(chain.current.iter().map(|a| (CURRENT, a))) {
            out.push_str(&format!("{kind} {tenant} {}\n{}\n", a.verifier, a.signed.note));
        }
    }
    out
}

/// The tenants that a text names, for a log of anchors.
pub(crate) fn tenants(known: &Known) -> impl Iterator<Item = sealpost_model::TenantId> + '_ {
    known.keys().map(|t| sealpost_model::TenantId::from_raw(*t))
}

const CURRENT: &str = "sealpost-anchor-1";
const LOST: &str = "sealpost-anchor-lost-1";

#[cfg(test)]
mod tests {
    use sealpost_crypto::{Random, SigningKey};
    use tlog_tiles::record_hash;

    use super::*;

    fn anchored(seed: u64, size: u64) -> Anchored {
        let key = SigningKey::from_seed(&Random::danger_predictable(seed).key());
        let origin = checkpoint::origin("a.test", &key.public());
        Anchored {
            verifier: checkpoint::verifier(&origin, &key.public()),
            signed: checkpoint::sign(&key, &origin, size, record_hash(&size.to_be_bytes())),
        }
    }

    fn known() -> Known {
        let lost = vec![anchored(2, 950), anchored(2, 990)];
        Known::from([
            (0, Chain { current: Some(anchored(1, 5)), lost: Vec::new() }),
            (7, Chain { current: Some(anchored(2, 900)), lost }),
            (9, Chain { current: None, lost: vec![anchored(3, 1)] }),
        ])
    }

    #[test]
    fn print_and_parse() {
        let text = print(&known());
        assert_eq!(parse(&text), Some(known()));
        assert!(parse("").expect("an empty text knows nothing").is_empty());
    }

    #[test]
    fn a_changed_text_is_refused() {
        let text = print(&known());
        let cut = text.len() - 1;
        assert!(parse(&text[..cut]).is_none());
        assert!(parse(&text.replace("\n900\n", "\n901\n")).is_none());
        assert!(parse(&text.replace("lost-1 7", "lost-2 7")).is_none());
        assert!(parse(&format!("{text}{text}")).is_none(), "a log stands in it once");
    }
}
