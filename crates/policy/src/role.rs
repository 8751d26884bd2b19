//! Roles, rights and the administrative commands they open (S38, S58).

/// What a person is in an organisation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Role {
    /// Has a mailbox.
    User = 0,
    /// Works in others' mailboxes, by grant.
    Delegate = 1,
    /// Reads evidence, never a body.
    Auditor = 2,
    /// Administers one domain.
    DomainAdmin = 3,
    /// Administers the organisation.
    TenantAdmin = 4,
    /// Answers for security (45 CFR 164.308(a)(2)).
    SecurityOfficial = 5,
    /// Runs the host.
    Operator = 6,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::User,
        Self::Delegate,
        Self::Auditor,
        Self::DomainAdmin,
        Self::TenantAdmin,
        Self::SecurityOfficial,
        Self::Operator,
    ];

    /// Its word on the command line and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Delegate => "delegate",
            Self::Auditor => "auditor",
            Self::DomainAdmin => "domain-admin",
            Self::TenantAdmin => "tenant-admin",
            Self::SecurityOfficial => "security-official",
            Self::Operator => "operator",
        }
    }

    /// The role with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.word() == word)
    }

    /// Whether it opens what is sealed in evidence: addresses in the log, remarks.
    pub fn reads_evidence(self) -> bool {
        Command::LogDetail.roles().contains(&self)
    }
}

/// A set of roles, as a column holds it: bit n is the role with number n.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Roles(i64);

impl Roles {
    /// No role: may do nothing.
    pub const NONE: Self = Self(0);

    /// The set with these bits.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// Its bits.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// With `role` added.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role as i64)
    }

    /// Whether `role` is in it.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as i64) != 0
    }

    /// The roles in it.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |r| self.has(*r))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

/// How far a grant on a mailbox goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Right {
    /// See.
    Read = 1,
    /// Change, too.
    Write = 2,
}

/// A set of things that somebody may do with a mailbox that is not theirs, as a column holds it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Rights(i64);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// See its messages.
    pub const READ: Self = Self(1);
    /// Change them, too; includes reading.
    pub const WRITE: Self = Self(2 | 1);
    /// Write mail as its address.
    pub const SEND_AS: Self = Self(4);
    /// Write mail on behalf of its address, with the own one as Sender.
    pub const SEND_ON_BEHALF: Self = Self(8);

    const WORDS: [(Self, &'static str); 4] = [
        (Self::READ, "read"),
        (Self::WRITE, "write"),
        (Self::SEND_AS, "send-as"),
        (Self::SEND_ON_BEHALF, "send-on-behalf"),
    ];

    /// The set with these bits; unknown ones count for nothing.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits & 15)
    }

    /// Its bits.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// With `more` added.
    #[must_use]
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether all of `what` is in it.
    pub const fn has(self, what: Self) -> bool {
        self.0 & what.0 == what.0
    }

    /// How far it goes in the mailbox itself.
    pub const fn right(self) -> Option<Right> {
        if self.has(Self::WRITE) {
            Some(Right::Write)
        } else if self.has(Self::READ) {
            Some(Right::Read)
        } else {
            None
        }
    }

    /// The right with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, w)| *w == word).map(|(right, _)| right)
    }

    /// Its words, as reports show them.
    pub fn words(self) -> Vec<&'static str> {
        Self::WORDS.into_iter().filter(|(right, _)| self.has(*right)).map(|(_, word)| word).collect()
    }
}

impl FromIterator<Self> for Rights {
    fn from_iter<I: IntoIterator<Item = Self>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

/// An administrative act. A command that is not listed here can't be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Counts and health, without anybody's data.
    Status,
    /// The people of the organisation.
    UserList,
    /// A new person.
    UserAdd,
    /// A new password for somebody.
    UserPassword,
    /// An app password for somebody.
    UserAppPassword,
    /// Another link for a first password that nobody has set.
    UserSetupLink,
    /// Ends somebody's access.
    UserDisable,
    /// The domains of the organisation.
    DomainList,
    /// A new domain.
    DomainAdd,
    /// What waits to leave.
    QueueList,
    /// Tries a waiting message now.
    QueueRetry,
    /// What waits to be picked up (never a code).
    PickupList,
    /// Ends a waiting message, with a reason.
    PickupExpire,
    /// The audit log without what is sealed.
    LogList,
    /// The audit log with addresses.
    LogDetail,
    /// A part of the audit log as a file that proves itself; a proof.
    AuditExport,
    /// The same with addresses.
    AuditExportOpened,
    /// Live sessions.
    SessionList,
    /// Ends a session.
    SessionEnd,
    /// The addresses of the organisation.
    AddressList,
    /// A new address, another target, or its end.
    AddressChange,
    /// Groups with their members.
    GroupList,
    /// Who is in a group, and who may write to it.
    GroupChange,
    /// Who may use whose mailbox.
    GrantList,
    /// Somebody gets rights on a mailbox, or loses them.
    GrantChange,
    /// What each person may do: the review of access (S38).
    RoleReview,
    /// What somebody is.
    RoleChange,
    /// The machines that may send.
    DeviceList,
    /// A machine may send, or no longer.
    DeviceChange,
    /// The trusted servers.
    ConnectorList,
    /// A server is trusted, or no longer.
    ConnectorChange,
    /// The networks that may not sign in for a while.
    BanList,
    /// Ends a ban before its time.
    BanLift,
    /// Which keys there are.
    KeyList,
    /// Master key, ring and kit.
    KeyStatus,
    /// New keys in the place of old ones.
    KeyRotate,
    /// What waits for a second person.
    ActList,
    /// Agrees to what somebody else asked for, or does not.
    ActDecide,
    /// The rules of the organisation.
    PolicyList,
    /// Changes a rule of the organisation.
    PolicyChange,
    /// Signs in for several commands.
    SessionOpen,
    /// Where the sealed bodies lie, and how they are.
    BlobStatus,
    /// Runs the upkeep of bodies now.
    BlobCare,
    /// Whether a person gets mail about their own sign-ins.
    AlertsChange,
    /// Makes a backup set now.
    BackupRun,
    /// How backups stand.
    BackupList,
    /// Somebody gets their own mail back from a backup set.
    BackupItems,
    /// What a restored instance holds back.
    QueueHeld,
    /// Lets a restored instance send.
    QueueRelease,
}

impl Command {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Status,
        Self::UserList,
        Self::UserAdd,
        Self::UserPassword,
        Self::UserAppPassword,
        Self::UserSetupLink,
        Self::UserDisable,
        Self::DomainList,
        Self::DomainAdd,
        Self::QueueList,
        Self::QueueRetry,
        Self::PickupList,
        Self::PickupExpire,
        Self::LogList,
        Self::LogDetail,
        Self::AuditExport,
        Self::AuditExportOpened,
        Self::SessionList,
        Self::SessionEnd,
        Self::AddressList,
        Self::AddressChange,
        Self::GroupList,
        Self::GroupChange,
        Self::GrantList,
        Self::GrantChange,
        Self::RoleReview,
        Self::RoleChange,
        Self::DeviceList,
        Self::DeviceChange,
        Self::ConnectorList,
        Self::ConnectorChange,
        Self::BanList,
        Self::BanLift,
        Self::ActList,
        Self::ActDecide,
        Self::PolicyList,
        Self::PolicyChange,
        Self::SessionOpen,
        Self::BlobStatus,
        Self::BlobCare,
        Self::KeyList,
        Self::KeyStatus,
        Self::KeyRotate,
        Self::AlertsChange,
        Self::BackupRun,
        Self::BackupList,
        Self::BackupItems,
        Self::QueueHeld,
        Self::QueueRelease,
    ];

    /// The roles that may; anyone else may not.
    ///
    /// The operator runs the host: without a personal sign-in they see counts, ids and the log's plain facts, and keep
    /// the queue going. Whatever names people or changes who may do what is a person's act (S36, S115).
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Auditor, Operator, SecurityOfficial, TenantAdmin};
        match self {
            Self::Status
            | Self::QueueList
            | Self::PickupList
            | Self::LogList
            | Self::AuditExport
            | Self::BanList => &[Operator, TenantAdmin, SecurityOfficial, Auditor],
            // Which keys there are is no secret; the keys of all organisations are the host's to keep.
            Self::KeyList | Self::KeyStatus => &[Operator, SecurityOfficial, Auditor],
            Self::KeyRotate => &[Operator],
            // All organisations' bodies lie together: their upkeep is the host's.
            Self::BlobStatus | Self::BlobCare => &[Operator],
            Self::BackupList | Self::QueueHeld => &[Operator, TenantAdmin, SecurityOfficial, Auditor],
            Self::BackupRun | Self::QueueRetry | Self::UserSetupLink => {
                &[Operator, TenantAdmin, SecurityOfficial]
            }
            // Messages leave, or never will: a person answers for that.
            Self::QueueRelease | Self::BackupItems => &[TenantAdmin, SecurityOfficial],
            Self::UserList
            | Self::DomainList
            | Self::SessionList
            | Self::AddressList
            | Self::GroupList
            | Self::GrantList
            | Self::RoleReview
            | Self::DeviceList
            | Self::ConnectorList
            | Self::ActList
            | Self::PolicyList
            | Self::SessionOpen => &[TenantAdmin, SecurityOfficial, Auditor],
            // Whoever sets a credential could use it: a person of the organisation does it, under their name.
            Self::UserAdd
            | Self::UserDisable
            | Self::UserPassword
            | Self::UserAppPassword
            | Self::DomainAdd
            | Self::PickupExpire
            | Self::SessionEnd
            | Self::AddressChange
            | Self::GroupChange
            | Self::GrantChange
            | Self::RoleChange
            | Self::AlertsChange
            | Self::DeviceChange
            | Self::ConnectorChange
            | Self::BanLift
            | Self::ActDecide => &[TenantAdmin, SecurityOfficial],
            Self::PolicyChange => &[SecurityOfficial],
            Self::LogDetail | Self::AuditExportOpened => &[SecurityOfficial, Auditor],
        }
    }
}
