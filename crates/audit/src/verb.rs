//! What was done, and how it ended. Numbers are stored and never reused.

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal;)+) => {
        /// An act that the log knows.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Verb {
            $($(#[$doc])* $name = $number,)+
        }

        impl Verb {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its word in `sealpost log` and in reports.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

verbs! {
    /// Somebody signed in, or tried to (S52).
    Login = 1 "login";
    /// Somebody signed out, or their connection ended.
    Logout = 2 "logout";
    /// A session ended by somebody else or by time (S46).
    SessionEnd = 3 "session-end";

    /// A message came in by one of the doors, or was refused there.
    Accept = 10 "accept";
    /// A message reached a mailbox.
    Deliver = 11 "deliver";
    /// A courier's attempt at one recipient.
    Attempt = 12 "attempt";
    /// A delivery status notification was made.
    Bounce = 13 "bounce";
    /// Somebody asked that a waiting message be tried now.
    QueueRetry = 14 "queue-retry";
    /// A message was handed to another tenant of this server.
    HandOver = 15 "hand-over";
    /// A receipt was written into the sender's mailbox.
    Receipt = 16 "receipt";

    /// A message's content was read (S53).
    ReadMessage = 20 "read-message";
    /// Subjects, senders, previews or structures of messages were read.
    ReadSummary = 21 "read-summary";
    /// An attachment was fetched.
    ReadAttachment = 22 "read-attachment";
    /// A sender looked at the state of what they sent.
    ReadSent = 23 "read-sent";
    /// Somebody searched.
    Search = 24 "search";
    /// Somebody read this log.
    ReadLog = 25 "read-log";
    /// Somebody read the directory of people.
    ReadDirectory = 26 "read-directory";

    /// A client put a message into a folder.
    Append = 30 "append";
    /// Messages were copied to a folder.
    Copy = 31 "copy";
    /// Messages were moved to a folder.
    Move = 32 "move";
    /// Flags or keywords changed.
    Flag = 33 "flag";
    /// Messages were removed for good.
    Expunge = 34 "expunge";
    /// A folder was made.
    FolderCreate = 35 "folder-create";
    /// A folder got another name.
    FolderRename = 36 "folder-rename";
    /// A folder was removed.
    FolderDelete = 37 "folder-delete";
    /// A folder was subscribed or unsubscribed.
    FolderSubscribe = 38 "folder-subscribe";
    /// A keyword was made.
    Keyword = 39 "keyword";
    /// Somebody wanted to use a mailbox.
    MailboxOpen = 40 "mailbox-open";

    /// A message began to wait for its recipient.
    PickupWait = 50 "pickup-wait";
    /// A notice was made.
    PickupNotice = 51 "pickup-notice";
    /// The link was fetched, without proof of who did: never called read.
    PickupVisit = 52 "pickup-visit";
    /// A code was tried.
    PickupCode = 53 "pickup-code";
    /// Content was served after a proof.
    PickupOpen = 54 "pickup-open";
    /// An attachment was fetched after a proof.
    PickupAttachment = 55 "pickup-attachment";
    /// The recipient answered.
    PickupReply = 56 "pickup-reply";
    /// A waiting message ended, by time or by an administrator.
    PickupExpire = 57 "pickup-expire";
    /// The sender took a waiting message back.
    PickupRetract = 58 "pickup-retract";
    /// A new code was made.
    PickupReissue = 59 "pickup-reissue";
    /// A waiting message got more time.
    PickupExtend = 60 "pickup-extend";
    /// A browser earned a device credential.
    DeviceGrant = 61 "device-grant";
    /// A device credential ended.
    DeviceRevoke = 62 "device-revoke";

    /// An organisation was made.
    TenantAdd = 80 "tenant-add";
    /// A domain was added.
    DomainAdd = 81 "domain-add";
    /// An address was added.
    AddressAdd = 82 "address-add";
    /// A person was added.
    PersonAdd = 83 "person-add";
    /// A person's access ended.
    PersonDisable = 84 "person-disable";
    /// A person's access was given back.
    PersonEnable = 85 "person-enable";
    /// A person's roles changed.
    RolesChange = 86 "roles-change";
    /// A password was set (S43).
    PasswordSet = 87 "password-set";
    /// An app password was made.
    AppPasswordAdd = 88 "app-password-add";
    /// An app password was revoked.
    AppPasswordRevoke = 89 "app-password-revoke";
    /// A link was made by which somebody sets their password themselves.
    SetupLink = 95 "setup-link";
    /// Somebody was named who answers for security (S108).
    OfficialName = 96 "official-name";
    /// A policy changed.
    PolicyChange = 90 "policy-change";

    /// A key was made.
    KeyCreate = 100 "key-create";
    /// Keys were destroyed.
    KeyDestroy = 101 "key-destroy";
    /// Keys got new ones in their place, or around them.
    KeyRotate = 102 "key-rotate";

    /// The server started.
    Start = 110 "start";
    /// The server stopped.
    Stop = 111 "stop";
    /// The effective configuration changed.
    Configuration = 112 "configuration";
    /// An administrative command that has no verb of its own.
    Command = 113 "command";
    /// The store was restored from a backup.
    Restored = 114 "restored";
    /// Something was exported.
    Export = 115 "export";
    /// The log was verified.
    Verify = 116 "verify";
    /// The server was there, and wrote into its log.
    Heartbeat = 117 "heartbeat";
    /// A proof was made for somebody.
    Prove = 118 "prove";
    /// A certificate was ordered, and issued or not.
    Certificate = 119 "certificate";

    /// An address got another target, or a group other members or rules.
    AddressChange = 130 "address-change";
    /// An address was removed.
    AddressRemove = 131 "address-remove";
    /// Somebody was given rights on a mailbox, or other ones.
    GrantAdd = 132 "grant-add";
    /// Somebody's rights on a mailbox ended.
    GrantRemove = 133 "grant-remove";
    /// A machine was allowed to send.
    DeviceAdd = 134 "device-add";
    /// A machine's access ended.
    DeviceDisable = 135 "device-disable";
    /// A trusted server was made known.
    ConnectorAdd = 136 "connector-add";
    /// A trusted server is trusted no more.
    ConnectorDisable = 137 "connector-disable";
    /// Somebody asked for an act that needs a second person.
    ActPropose = 138 "act-propose";
    /// A second person agreed.
    ActApprove = 139 "act-approve";
    /// A second person said no.
    ActRefuse = 140 "act-refuse";
    /// Nobody agreed in time.
    ActExpire = 141 "act-expire";
    /// What a second person had agreed to was done.
    ActDone = 142 "act-done";
    /// A network may not sign in for a while.
    Ban = 143 "ban";
    /// A ban was lifted.
    BanLift = 144 "ban-lift";
    /// Somebody was told of something about their sign-in.
    Alert = 145 "alert";
    /// Somebody signed in from a place that was not known yet.
    NewPlace = 146 "new-place";
    /// All of a person's sessions were ended.
    SessionsEnd = 147 "sessions-end";
    /// Whether a person is told of sign-ins was changed.
    AlertsChange = 148 "alerts-change";

    /// A row of the log was not what had been written.
    Tampered = 120 "tampered";
    /// A part of the read journal could not be read back.
    JournalDamaged = 121 "journal-damaged";
    /// The anchor knows more than the store, or something else.
    AnchorConflict = 122 "anchor-conflict";

    /// A backup set was made (S70, S71).
    Backup = 170 "backup";
    /// A backup set came to its end: its key was destroyed, its files were deleted (S73).
    BackupEnd = 171 "backup-end";
    /// A backup set was brought back into a scratch folder and proved (S75).
    BackupVerify = 172 "backup-verify";
    /// A person's mail was brought back from a backup set (S74).
    BackupItems = 173 "backup-items";
    /// After a restore a person released what waited to leave, or dropped it.
    QueueRelease = 174 "queue-release";
    /// Bodies that nothing names any more were ended.
    BlobCollect = 180 "blob-collect";
    /// Packs were emptied and removed.
    BlobCompact = 181 "blob-compact";
    /// Packs and objects were read again and checked.
    BlobScrub = 182 "blob-scrub";
    /// Journal entries past their day were ended (S61).
    JournalExpire = 183 "journal-expire";
}

impl Verb {
    /// The verb with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.iter().copied().find(|v| *v as i64 == number)
    }

    /// Whether it changes people, rights, rules or keys: what an administrator does.
    pub const fn administers(self) -> bool {
        matches!(self as u16, 80..=109 | 112..=116 | 130..=199)
    }

    /// The verb with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|v| v.word() == word)
    }
}

/// How an act ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// It was done.
    Done = 0,
    /// A policy, a credential or a limit said no.
    Refused = 1,
    /// It was allowed and did not succeed.
    Failed = 2,
    /// It began; another entry says how it ended.
    Open = 3,
    /// It began, and nobody knows how it ended: the process died.
    Unknown = 4,
}

impl Outcome {
    pub(crate) const ALL: [Self; 5] = [Self::Done, Self::Refused, Self::Failed, Self::Open, Self::Unknown];

    /// Its word in `sealpost log` and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome with this number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|o| *o as i64 == number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_words_are_one_to_one() {
        let numbers: HashSet<_> = Verb::ALL.iter().map(|v| *v as u16).collect();
        let words: HashSet<_> = Verb::ALL.iter().map(|v| v.word()).collect();
        assert_eq!(numbers.len(), Verb::ALL.len());
        assert_eq!(words.len(), Verb::ALL.len());
        for verb in Verb::ALL {
            assert_eq!(Verb::from_number(*verb as i64), Some(*verb));
            assert_eq!(Verb::parse(verb.word()), Some(*verb));
        }
    }
}
