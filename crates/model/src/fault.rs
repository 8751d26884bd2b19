//! Whose fault a failure is. Reply code, log level and audit outcome follow from it, in one `match` at each edge.

/// Sorted by who can do something about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Our own caller asked for something impossible: a person can mend it (a 5xx, a 400).
    Caller,
    /// The peer broke its protocol.
    Peer,
    /// The peer is honest but can't do what is needed (no TLS, no such extension).
    PeerCannot,
    /// A policy says no; its reason is shown (a 550 5.7.1, a 403).
    Policy,
    /// It may work later (a 4xx, a 503).
    Temporary,
    /// Stored bytes are not what was written: nothing more is served from there.
    Corrupt,
    /// We are wrong.
    Bug,
}
