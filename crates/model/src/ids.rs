//! One id type per kind of thing, so that a folder's id can't be handed over as a message's.
//!
//! All ids come from one sequence that a process leases in blocks (`store::Ids`); 0 is never an id. Outside the
//! server they are opaque.

/// A row's number, known before the row is written.
pub trait Id: Copy + Eq + std::hash::Hash + Send + Sync + 'static {
    /// The id with this number.
    fn from_raw(raw: i64) -> Self;
    /// Its number, as columns hold it.
    fn raw(self) -> i64;
}

/// Calls macro `$m` with every id type, so that another crate can implement its own trait for all of them.
#[macro_export]
macro_rules! for_each_id {
    ($m:ident) => {
        $m! {
            TenantId, DomainId, AddressId, PersonId, CredentialId, AccountId, FolderId, EntryId, BlobId, JournalId,
            SubmissionId, LedgerId, QueueId, PickupId, RecipientId, SessionId, DeviceId, AuditId, LifeKeyId, DataKeyId, ActId,
            GrantId, ConnectorId, BanId, TlsItemId, BackupId
        }
    };
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl Id for $name {
            fn from_raw(raw: i64) -> Self {
                Self(raw)
            }
            fn raw(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

ids! {
    /// An organisation: the boundary of keys, deduplication, search and administration (S10).
    TenantId,
    /// A mail domain of a tenant.
    DomainId,
    /// An address of the directory.
    AddressId,
    /// A human being with a login (S36).
    PersonId,
    /// Something a person signs in with: a password, an app password.
    CredentialId,
    /// A whole mailbox with its folders. A person is not a mailbox: grants tie the two.
    AccountId,
    /// A folder of an account: what IMAP calls a mailbox.
    FolderId,
    /// A message's place in one folder.
    EntryId,
    /// A sealed body.
    BlobId,
    /// A message's row in the archive's journal (S59).
    JournalId,
    /// One message on its one way in: what `delivery::accept` was given.
    SubmissionId,
    /// One recipient's row in the sent ledger (S56).
    LedgerId,
    /// One recipient's row in the queue.
    QueueId,
    /// A message that waits to be picked up.
    PickupId,
    /// One recipient of a message that waits to be picked up.
    RecipientId,
    /// A web session.
    SessionId,
    /// A browser that earned a credential of its own, or a machine that has one: a scanner, an EHR system.
    DeviceId,
    /// An entry of the audit log.
    AuditId,
    /// A life key of the key ring: what dies when a message's life ends.
    LifeKeyId,
    /// A tenant's data key: it belongs to one process.
    DataKeyId,
    /// An act that waits for a second person.
    ActId,
    /// A person's right on somebody else's mailbox.
    GrantId,
    /// A trusted server that hands over mail for one organisation.
    ConnectorId,
    /// A network that may not sign in for a while.
    BanId,
    /// Something that is remembered of ordered certificates.
    TlsItemId,
    /// A backup set.
    BackupId,
}
