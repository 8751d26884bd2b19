//! How well a transport is verified.

/// Grades of transport, weakest first: a floor is the least that will do (DESIGN section 1, S18).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Grade {
    /// No encryption.
    Clear = 0,
    /// Encrypted, but nobody knows to whom.
    Tls = 1,
    /// The certificate matches an MX name that came from unsigned DNS: stops listening and stripping, not a forger of DNS.
    WebpkiMx = 2,
    /// The same with signed DNS.
    Webpki = 3,
    /// MTA-STS in enforce mode (RFC 8461).
    MtaSts = 4,
    /// An administrator's route or pin.
    Pinned = 5,
    /// DANE (RFC 7672).
    Dane = 6,
}

impl Grade {
    const ALL: [Self; 7] =
        [Self::Clear, Self::Tls, Self::WebpkiMx, Self::Webpki, Self::MtaSts, Self::Pinned, Self::Dane];

    /// Its word in ledger and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Tls => "tls",
            Self::WebpkiMx => "webpki-mx",
            Self::Webpki => "webpki",
            Self::MtaSts => "mta-sts",
            Self::Pinned => "pinned",
            Self::Dane => "dane",
        }
    }

    /// The grade with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|g| *g as i64 == number)
    }
}
