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
    /// Live sessions.
    SessionList,
    /// Ends a session.
    SessionEnd,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Status,
        Self::UserList,
        Self::UserAdd,
        Self::UserPassword,
        Self::UserAppPassword,
        Self::UserDisable,
        Self::DomainList,
        Self::DomainAdd,
        Self::QueueList,
        Self::QueueRetry,
        Self::PickupList,
        Self::PickupExpire,
        Self::LogList,
        Self::LogDetail,
        Self::SessionList,
        Self::SessionEnd,
    ];

    /// The roles that may; anyone else may not.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Auditor, Operator, SecurityOfficial, TenantAdmin};
        match self {
            Self::Status => &[Operator, TenantAdmin, SecurityOfficial, Auditor],
            Self::UserList | Self::DomainList | Self::QueueList | Self::PickupList => {
                &[Operator, TenantAdmin, SecurityOfficial, Auditor]
            }
            Self::UserAdd | Self::UserDisable | Self::DomainAdd | Self::QueueRetry | Self::SessionEnd => {
                &[Operator, TenantAdmin, SecurityOfficial]
            }
            // Whoever sets a credential could use it: a person of the organisation does it, under their name.
            Self::UserPassword | Self::UserAppPassword => &[TenantAdmin, SecurityOfficial],
            Self::PickupExpire => &[TenantAdmin, SecurityOfficial],
            Self::LogList | Self::SessionList => &[Operator, TenantAdmin, SecurityOfficial, Auditor],
            Self::LogDetail => &[SecurityOfficial, Auditor],
        }
    }
}
