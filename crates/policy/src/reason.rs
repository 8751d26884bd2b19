//! Named reasons: what the log stores, with the words that people read.

/// Why something was decided as it was.
///
/// Numbers follow the order of this list and are stored in queue rows: add at the end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// The recipient has a mailbox here.
    LocalMailbox,
    /// The recipient's server can be verified, so the message goes there.
    VerifiableTransport,
    /// The sender asked for pickup (`[secure]`, `X-Sealpost-Method: pickup`).
    SenderAskedPickup,
    /// The recipient's server offered nothing that meets the domain's floor.
    TransportBelowFloor,
    /// The recipient's server lacks an extension that the message needs.
    TransportLacksExtension,
    /// The recipient's server could not be reached in time.
    TransportUnreachable,
    /// The recipient's server said no for good.
    RecipientRejected,
    /// The recipient's domain takes no mail (null MX) or does not exist.
    DomainTakesNoMail,
    /// The address does not exist here.
    NoSuchAddress,
    /// The address belongs to a domain that is not ours, and the peer did not sign in.
    RelayDenied,
    /// The sender's address does not belong to the person who signed in.
    SenderNotOwned,
    /// The message passed too many servers.
    MailLoop,
    /// The mailbox is full.
    MailboxFull,
    /// The message is larger than the server takes.
    MessageTooLarge,
    /// The message has no or several From fields.
    FromFieldInvalid,
    /// A tag or header of ours holds a value that is not known.
    TagInvalid,
    /// The message breaks the line rules of RFC 5321 section 2.3.8.
    LinesInvalid,
    /// Recipients of two tenants in one transaction.
    OtherTenant,
    /// The actor has no grant for this thing.
    NoGrant,
    /// The actor's grant does not reach so far.
    GrantTooNarrow,
    /// The actor's roles do not include this act.
    RoleMissing,
    /// The thing belongs to another organisation.
    ForeignTenant,
    /// Allowed by ownership.
    Owner,
    /// Allowed by a role.
    Role,
    /// The address cannot be used for this.
    AddressRefused,
    /// A line of the header is no field.
    HeaderInvalid,
    /// What is stored of the message does not open: it, or its key, was changed or damaged.
    MessageDamaged,
    /// Whoever sends may not write to this group.
    GroupClosed,
    /// A group with its groups has too many members.
    GroupTooLarge,
    /// A person outside HIPAA domains and a mailbox of one (S7).
    HipaaMailbox,
    /// A message on behalf of somebody lacks the field that says who wrote it.
    OnBehalfNeedsSender,
    /// The second person is the first, or whom it is about.
    SecondPerson,
    /// A device used an address that is not its own.
    DeviceFrom,
    /// A device sends too much.
    DeviceRate,
    /// A group member of elsewhere, without a policy that allows it.
    OutsideMember,
    /// The network is shut out.
    Banned,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 36] = [
        Self::LocalMailbox,
        Self::VerifiableTransport,
        Self::SenderAskedPickup,
        Self::TransportBelowFloor,
        Self::TransportLacksExtension,
        Self::TransportUnreachable,
        Self::RecipientRejected,
        Self::DomainTakesNoMail,
        Self::NoSuchAddress,
        Self::RelayDenied,
        Self::SenderNotOwned,
        Self::MailLoop,
        Self::MailboxFull,
        Self::MessageTooLarge,
        Self::FromFieldInvalid,
        Self::TagInvalid,
        Self::LinesInvalid,
        Self::OtherTenant,
        Self::NoGrant,
        Self::GrantTooNarrow,
        Self::RoleMissing,
        Self::ForeignTenant,
        Self::Owner,
        Self::Role,
        Self::AddressRefused,
        Self::HeaderInvalid,
        Self::MessageDamaged,
        Self::GroupClosed,
        Self::GroupTooLarge,
        Self::HipaaMailbox,
        Self::OnBehalfNeedsSender,
        Self::SecondPerson,
        Self::DeviceFrom,
        Self::DeviceRate,
        Self::OutsideMember,
        Self::Banned,
    ];

    /// The reason with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|r| *r as i64 == number)
    }

    /// The reason with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }

    /// Its name in log and ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LocalMailbox => "local-mailbox",
            Self::VerifiableTransport => "verifiable-transport",
            Self::SenderAskedPickup => "sender-asked-pickup",
            Self::TransportBelowFloor => "transport-below-floor",
            Self::TransportLacksExtension => "transport-lacks-extension",
            Self::TransportUnreachable => "transport-unreachable",
            Self::RecipientRejected => "recipient-rejected",
            Self::DomainTakesNoMail => "domain-takes-no-mail",
            Self::NoSuchAddress => "no-such-address",
            Self::RelayDenied => "relay-denied",
            Self::SenderNotOwned => "sender-not-owned",
            Self::MailLoop => "mail-loop",
            Self::MailboxFull => "mailbox-full",
            Self::MessageTooLarge => "message-too-large",
            Self::FromFieldInvalid => "from-field-invalid",
            Self::TagInvalid => "tag-invalid",
            Self::LinesInvalid => "lines-invalid",
            Self::OtherTenant => "other-tenant",
            Self::NoGrant => "no-grant",
            Self::GrantTooNarrow => "grant-too-narrow",
            Self::RoleMissing => "role-missing",
            Self::ForeignTenant => "foreign-tenant",
            Self::Owner => "owner",
            Self::Role => "role",
            Self::AddressRefused => "address-refused",
            Self::HeaderInvalid => "header-invalid",
            Self::MessageDamaged => "message-damaged",
            Self::GroupClosed => "group-closed",
            Self::GroupTooLarge => "group-too-large",
            Self::HipaaMailbox => "hipaa-mailbox",
            Self::OnBehalfNeedsSender => "on-behalf-needs-sender",
            Self::SecondPerson => "second-person",
            Self::DeviceFrom => "device-from",
            Self::DeviceRate => "device-rate",
            Self::OutsideMember => "outside-member",
            Self::Banned => "banned",
        }
    }

    /// What a person is told, with what to do where there is something to do.
    pub const fn words(self) -> &'static str {
        match self {
            Self::LocalMailbox => "The recipient has a mailbox here.",
            Self::VerifiableTransport => "The recipient's mail server is tried with verified encryption.",
            Self::SenderAskedPickup => "You asked that the message waits here to be picked up.",
            Self::TransportBelowFloor => {
                "The recipient's mail server could not prove who it is over an encrypted connection, so the message waits here to be picked up."
            }
            Self::TransportLacksExtension => {
                "The recipient's mail server cannot take this message as it is, so it waits here to be picked up."
            }
            Self::TransportUnreachable => {
                "The recipient's mail server could not be reached in time, so the message waits here to be picked up."
            }
            Self::RecipientRejected => {
                "The recipient's mail server does not accept this address. Check the spelling."
            }
            Self::DomainTakesNoMail => {
                "The recipient's domain does not exist or takes no mail. Check the spelling behind the @."
            }
            Self::NoSuchAddress => "There is no such address here. Check the spelling.",
            Self::RelayDenied => {
                "This server sends mail to other domains only for people who signed in on the submission port."
            }
            Self::SenderNotOwned => {
                "The sender's address does not belong to the person who signed in. Use your own address."
            }
            Self::MailLoop => "The message has passed too many servers and seems to go in circles.",
            Self::MailboxFull => "The recipient's mailbox is full. Try again later.",
            Self::MessageTooLarge => {
                "The message is larger than this server takes. Send a smaller attachment."
            }
            Self::FromFieldInvalid => {
                "The message needs exactly one From field that can be read in one way only, such as: Name <you@your.domain>."
            }
            Self::TagInvalid => "An X-Sealpost header holds a value that is not known.",
            Self::LinesInvalid => {
                "The message has lines that do not end as the standard asks, or are too long."
            }
            Self::OtherTenant => "This recipient belongs to another organisation; send to it separately.",
            Self::NoGrant => {
                "You have no access to this mailbox. Ask its owner or an administrator for a grant."
            }
            Self::GrantTooNarrow => "You may read this mailbox but not change it.",
            Self::RoleMissing => {
                "Your role does not include this. Ask an administrator of your organisation."
            }
            Self::ForeignTenant => "This belongs to another organisation.",
            Self::Owner => "Yours.",
            Self::Role => "Your role includes this.",
            Self::AddressRefused => "This address does not take mail.",
            Self::HeaderInvalid => "The header of the message holds a line that is no header field.",
            Self::MessageDamaged => {
                "The stored message was damaged before it could leave. Send it again, and tell your administrator."
            }
            Self::GroupClosed => {
                "The group takes mail from certain people only, and you are not one of them. Ask an administrator who may write to it."
            }
            Self::GroupTooLarge => {
                "The group has more members than one message can go to. Ask an administrator to split it."
            }
            Self::HipaaMailbox => {
                "A person of a domain without health information cannot be given a mailbox of one that holds some. Give them an address of that domain first."
            }
            Self::OnBehalfNeedsSender => {
                "You may write on behalf of this address: the message needs a Sender field with your own address. For sending as the address itself, ask an administrator for the right send-as."
            }
            Self::SecondPerson => {
                "This needs a second administrator or security official, who is neither the first nor the person it is about."
            }
            Self::DeviceFrom => "This device may send under the addresses only that were set for it.",
            Self::DeviceRate => "This device has sent as much as it may in an hour. It can go on later.",
            Self::OutsideMember => {
                "Groups of this organisation have members of the organisation only. An administrator can allow others with `sealpost policy set outside-members on`."
            }
            Self::Banned => "This network has failed to sign in too often and is shut out for a while.",
        }
    }
}

/// A refusal with its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .reason.words())]
pub struct Denied {
    /// Why.
    pub reason: Reason,
}

impl From<Reason> for Denied {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}
