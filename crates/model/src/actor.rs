//! Who acts, and from where.

use std::net::{IpAddr, Ipv4Addr};

use crate::{ConnectorId, DeviceId, PersonId, RecipientId, TenantId};

/// Who does something (S36). Every audit entry carries one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Actor {
    /// Somebody with a login.
    Person {
        /// Their organisation.
        tenant: TenantId,
        /// Who.
        person: PersonId,
    },
    /// Somebody outside who proved to be the recipient of a waiting message.
    Recipient {
        /// The sender's organisation.
        tenant: TenantId,
        /// Who.
        recipient: RecipientId,
    },
    /// The server itself: a retry, an expiry.
    System,
    /// Whoever runs commands on the host.
    Operator {
        /// Their user id there.
        uid: u32,
    },
    /// A machine of an organisation that sends mail: a scanner, an EHR system.
    Device {
        /// Whose it is.
        tenant: TenantId,
        /// Which.
        device: DeviceId,
    },
    /// A trusted server that hands over mail for one organisation.
    Connector {
        /// Whose mail.
        tenant: TenantId,
        /// Which.
        connector: ConnectorId,
    },
    /// Nobody known: a peer on port 25, a visitor of the portal, a failed login.
    Stranger,
}

/// The door somebody came through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Protocol {
    /// Mail from outside (RFC 5321), port 25.
    Smtp = 1,
    /// Mail submission (RFC 6409, RFC 8314).
    Submission = 2,
    /// IMAP (RFC 9051).
    Imap = 3,
    /// POP3 (RFC 1939).
    Pop3 = 4,
    /// Webmail and what a signed-in person sees.
    Web = 5,
    /// The pickup portal.
    Portal = 6,
    /// The control socket.
    Control = 7,
    /// An offline command on the host.
    Cli = 8,
    /// The server itself.
    System = 9,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Smtp,
        Self::Submission,
        Self::Imap,
        Self::Pop3,
        Self::Web,
        Self::Portal,
        Self::Control,
        Self::Cli,
        Self::System,
    ];

    /// Its word in logs and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Web => "web",
            Self::Portal => "portal",
            Self::Control => "control",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }

    /// The protocol with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|p| *p as u8 == number)
    }
}

/// The version of a TLS connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// `TLSv1.3`
    pub const fn word(self) -> &'static str {
        match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

/// What a TLS handshake agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlsFacts {
    /// The protocol's version.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name.
    pub cipher: &'static str,
}

/// Where somebody came from: what the audit log keeps of a connection (S52).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    /// Their address, as seen by us or told by a trusted proxy.
    pub ip: IpAddr,
    /// Their port.
    pub port: u16,
    /// The door.
    pub protocol: Protocol,
    /// How the connection is encrypted, if it is.
    pub tls: Option<TlsFacts>,
}

impl Client {
    /// The server itself.
    pub const SYSTEM: Self =
        Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0, protocol: Protocol::System, tls: None };

    /// A command on this host.
    pub const fn local(protocol: Protocol) -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, protocol, tls: None }
    }
}
