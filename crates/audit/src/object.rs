//! The things that an entry is about, as ids.

use sealpost_model::Id;

/// What kind of thing an id names. Numbers are stored and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the id type of the same name")]
pub enum ObjectKind {
    Other = 0,
    Tenant = 1,
    Domain = 2,
    Address = 3,
    Person = 4,
    Credential = 5,
    Account = 6,
    Folder = 7,
    Entry = 8,
    Blob = 9,
    Journal = 10,
    Submission = 11,
    Ledger = 12,
    Queue = 13,
    Pickup = 14,
    Recipient = 15,
    Session = 16,
    Device = 17,
    Audit = 18,
    LifeKey = 19,
    DataKey = 20,
    Act = 21,
    Grant = 22,
    Connector = 23,
    Ban = 24,
    /// The version of the row that is named right before: an older row that was put back is noticed.
    Version = 25,
    Backup = 26,
    TlsItem = 27,
}

impl ObjectKind {
    pub(crate) const ALL: [Self; 28] = [
        Self::Other,
        Self::Tenant,
        Self::Domain,
        Self::Address,
        Self::Person,
        Self::Credential,
        Self::Account,
        Self::Folder,
        Self::Entry,
        Self::Blob,
        Self::Journal,
        Self::Submission,
        Self::Ledger,
        Self::Queue,
        Self::Pickup,
        Self::Recipient,
        Self::Session,
        Self::Device,
        Self::Audit,
        Self::LifeKey,
        Self::DataKey,
        Self::Act,
        Self::Grant,
        Self::Connector,
        Self::Ban,
        Self::Version,
        Self::Backup,
        Self::TlsItem,
    ];

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.word() == word)
    }

    /// Its word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Other => "object",
            Self::Tenant => "tenant",
            Self::Domain => "domain",
            Self::Address => "address",
            Self::Person => "person",
            Self::Credential => "credential",
            Self::Account => "account",
            Self::Folder => "folder",
            Self::Entry => "entry",
            Self::Blob => "blob",
            Self::Journal => "journal",
            Self::Submission => "submission",
            Self::Ledger => "ledger",
            Self::Queue => "queue",
            Self::Pickup => "pickup",
            Self::Recipient => "recipient",
            Self::Session => "session",
            Self::Device => "device",
            Self::Audit => "audit",
            Self::LifeKey => "life-key",
            Self::DataKey => "data-key",
            Self::Act => "act",
            Self::Grant => "grant",
            Self::Connector => "connector",
            Self::Ban => "ban",
            Self::Version => "version",
            Self::Backup => "backup-set",
            Self::TlsItem => "tls-item",
        }
    }
}

/// One thing that an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its id.
    pub id: i64,
}

macro_rules! from_ids {
    ($($name:ident => $kind:ident),+ $(,)?) => {$(
        impl From<sealpost_model::$name> for Object {
            fn from(id: sealpost_model::$name) -> Self {
                Self { kind: ObjectKind::$kind, id: id.raw() }
            }
        }
    )+};
}

from_ids! {
    TenantId => Tenant,
    DomainId => Domain,
    AddressId => Address,
    PersonId => Person,
    CredentialId => Credential,
    AccountId => Account,
    FolderId => Folder,
    EntryId => Entry,
    BlobId => Blob,
    JournalId => Journal,
    SubmissionId => Submission,
    LedgerId => Ledger,
    QueueId => Queue,
    PickupId => Pickup,
    RecipientId => Recipient,
    SessionId => Session,
    DeviceId => Device,
    AuditId => Audit,
    LifeKeyId => LifeKey,
    DataKeyId => DataKey,
    ActId => Act,
    GrantId => Grant,
    ConnectorId => Connector,
    BanId => Ban,
    BackupId => Backup,
    TlsItemId => TlsItem,
}

impl Object {
    /// The version of the row that the object before it names.
    pub const fn version(version: i64) -> Self {
        Self { kind: ObjectKind::Version, id: version }
    }
}

impl From<i64> for Object {
    fn from(id: i64) -> Self {
        Self { kind: ObjectKind::Other, id }
    }
}

/// Objects as a column holds them: runs of one kind, each `kind, count, id, difference, difference, ...` with unsigned
/// LEB128 for the count and zigzag LEB128 for the rest, in the order given. A FETCH of a thousand subjects is one
/// entry of about 2 KiB.
pub(crate) fn encode(objects: &[Object]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + objects.len() * 4);
    for run in objects.chunk_by(|a, b| a.kind == b.kind) {
        out.push(run[0].kind as u8);
        leb(&mut out, run.len() as u64);
        let mut last = 0_i64;
        for object in run {
            let step = object.id.wrapping_sub(last);
            leb(&mut out, ((step << 1) ^ (step >> 63)) as u64);
            last = object.id;
        }
    }
    out
}

/// The objects of a column; `None` if these bytes were never made by [`encode`].
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Object>> {
    let mut out = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = rest;
        let kind = ObjectKind::ALL.into_iter().find(|k| *k as u8 == *kind)?;
        let count = unleb(&mut bytes)?;
        if count > bytes.len() as u64 {
            return None;
        }
        let mut last = 0_i64;
        for _ in 0..count {
            let zigzag = unleb(&mut bytes)?;
            let step = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            last = last.wrapping_add(step);
            out.push(Object { kind, id: last });
        }
    }
    Some(out)
}

pub(crate) fn leb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn unleb(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_id_type_has_its_kind() {
        use sealpost_model::{
            AccountId, ActId, AddressId, AuditId, BackupId, BanId, BlobId, ConnectorId, CredentialId,
            DataKeyId, DeviceId, DomainId, EntryId, FolderId, GrantId, JournalId, LedgerId, LifeKeyId,
            PersonId, PickupId, QueueId, RecipientId, SessionId, SubmissionId, TenantId, TlsItemId,
            for_each_id,
        };
        assert_eq!(Object::from(BlobId::from_raw(7)), Object { kind: ObjectKind::Blob, id: 7 });
        macro_rules! known {
            ($($name:ident),+ $(,)?) => {$(
                let kind = Object::from($name::from_raw(1)).kind;
                assert_eq!(format!("{kind:?}Id"), stringify!($name));
            )+};
        }
        for_each_id!(known);
    }

    #[test]
    fn no_number_is_given_twice() {
        let numbers: std::collections::HashSet<u8> = ObjectKind::ALL.into_iter().map(|k| k as u8).collect();
        assert_eq!(numbers.len(), ObjectKind::ALL.len());
    }

    proptest! {
        #[test]
        fn print_and_parse(list in prop::collection::vec((0..ObjectKind::ALL.len(), any::<i64>()), 0..50)) {
            let objects: Vec<_> =
                list.into_iter().map(|(k, id)| Object { kind: ObjectKind::ALL[k], id }).collect();
            prop_assert_eq!(decode(&encode(&objects)), Some(objects));
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
