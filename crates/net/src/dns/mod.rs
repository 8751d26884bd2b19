//! Name look-ups, with answers that tell absence from failure.
//!
//! RFC 5321 section 5.1 turns on the difference: a domain without MX records is reached by its address records, one
//! with a null MX (RFC 7505) takes no mail at all, one that doesn't exist bounces, and a look-up that failed is tried
//! again.

mod fixed;
mod hickory;
mod signed;

use std::net::IpAddr;

use crate::BoxFuture;

pub use fixed::Fixed;
pub use hickory::{Hickory, system_servers};
pub use signed::{Signatures, signatures};

/// Looks names up.
pub trait Resolver: Send + Sync {
    /// Who takes mail for `domain`.
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Mx, Error>>;

    /// The addresses of `host`, IPv6 and IPv4.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Addresses, Error>>;
}

/// Who takes mail for a domain. Every case is an answer; a failure is an [`Error`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mx {
    /// These hosts, the preferred (lowest number) first.
    Hosts(Vec<MxHost>),
    /// Nobody, says the domain itself (RFC 7505).
    Null,
    /// The domain exists and names no host: its own address counts (RFC 5321 section 5.1).
    Implicit,
    /// There is no such domain.
    NoDomain,
}

/// One host of an MX set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MxHost {
    /// The lower, the better.
    pub preference: u16,
    /// In lower case, without a trailing dot.
    pub host: String,
}

/// The addresses of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// These; never empty.
    Found(Vec<IpAddr>),
    /// The name exists and has none.
    None,
    /// There is no such name.
    NoDomain,
}

/// No answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It may work later: no server answered, or one said that it failed.
    #[error("the name could not be looked up: {0}")]
    Temporary(String),
    /// This is no name.
    #[error("this is not a domain name")]
    Name,
}

impl Error {
    /// Whose fault it is.
    pub const fn fault(&self) -> sealpost_model::Fault {
        match self {
            Self::Temporary(_) => sealpost_model::Fault::Temporary,
            Self::Name => sealpost_model::Fault::Caller,
        }
    }
}

/// Puts a set in order and spots the null MX: one record, preference ignored, whose host is the root.
fn mx_set(mut hosts: Vec<MxHost>) -> Mx {
    hosts.sort();
    hosts.dedup();
    // A root beside real hosts is a mistake of theirs; RFC 7505 section 3 wants it to stand alone.
    let real: Vec<_> = hosts.iter().filter(|h| !h.host.is_empty()).cloned().collect();
    match (hosts.is_empty(), real.is_empty()) {
        (true, _) => Mx::Implicit,
        (false, true) => Mx::Null,
        (false, false) => Mx::Hosts(real),
    }
}
