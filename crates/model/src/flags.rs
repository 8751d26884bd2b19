//! A message's flags in one integer.

/// System flags in bits 0 to 7, the account's keywords in bits 8 to 62 (names are sealed in the account's table).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Flags(i64);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1 << 1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(1 << 2);
    /// `\Deleted`
    pub const DELETED: Self = Self(1 << 3);
    /// `\Draft`
    pub const DRAFT: Self = Self(1 << 4);
    /// `$SecureReply`: came through the pickup portal. A fact of the server, which no client sets or clears (S27).
    pub const SECURE_REPLY: Self = Self(1 << 5);
    /// `$Forwarded`
    pub const FORWARDED: Self = Self(1 << 6);
    /// `$SealpostReceipt`: a receipt that may hold codes. A fact of the server: no rule, forward or index touches it.
    pub const RECEIPT: Self = Self(1 << 7);
    /// What only the server sets.
    pub const FACTS: Self = Self(Self::SECURE_REPLY.0 | Self::RECEIPT.0);
    /// The first keyword's bit.
    pub const FIRST_KEYWORD: u32 = 8;
    /// The last keyword's bit.
    pub const LAST_KEYWORD: u32 = 62;

    /// The flags with these bits.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// The bits, as columns hold them.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// The flag of the keyword at `bit`, when that is one.
    pub const fn keyword(bit: u32) -> Option<Self> {
        if bit < Self::FIRST_KEYWORD || bit > Self::LAST_KEYWORD { None } else { Some(Self(1 << bit)) }
    }

    /// The keywords' bits that are set.
    pub fn keywords(self) -> impl Iterator<Item = u32> {
        (Self::FIRST_KEYWORD..=Self::LAST_KEYWORD).filter(move |bit| self.0 & (1 << bit) != 0)
    }

    /// Whether all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
