//! An entry while it is being put together.

use std::borrow::Cow;

use sealpost_model::{AccountId, Actor, AuditId, Client, TenantId};

use crate::{Object, Outcome, Verb};

/// Who asks, and from where: what every service wants to know for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub client: Client,
}

impl Caller {
    /// The server itself.
    pub const SYSTEM: Self = Self { actor: Actor::System, client: Client::SYSTEM };
}

/// An entry to be. It says `done` until told otherwise.
#[derive(Clone)]
#[must_use = "a draft is not in the log"]
pub struct Draft {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    pub(crate) client: Client,
    pub(crate) verb: Verb,
    pub(crate) outcome: Outcome,
    pub(crate) owner: Option<AccountId>,
    pub(crate) closes: Option<AuditId>,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) objects: Vec<Object>,
    pub(crate) notes: Vec<(String, String)>,
}

/// The notes may hold PHI.
impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({} {} of {:?})", self.verb.word(), self.outcome.word(), self.tenant)
    }
}

impl Draft {
    /// `actor` does `verb` in `tenant`, from `client`.
    pub fn new(tenant: TenantId, actor: &Actor, client: &Client, verb: Verb) -> Self {
        Self {
            tenant,
            actor: *actor,
            client: *client,
            verb,
            outcome: Outcome::Done,
            owner: None,
            closes: None,
            reason: Cow::Borrowed(""),
            objects: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whose mailbox it is about: every entry that touches one carries actor *and* owner.
    pub const fn owner(mut self, account: AccountId) -> Self {
        self.owner = Some(account);
        self
    }

    /// One more thing that it is about.
    pub fn object(mut self, object: impl Into<Object>) -> Self {
        self.objects.push(object.into());
        self
    }

    /// More things that it is about.
    pub fn objects<O: Into<Object>>(mut self, objects: impl IntoIterator<Item = O>) -> Self {
        self.objects.extend(objects.into_iter().map(Into::into));
        self
    }

    /// The named reason, a fixed word such as `policy::Reason::name` gives: it is stored in plain. What a person or a
    /// peer wrote goes into [`Self::detail`].
    pub fn reason(mut self, name: &'static str) -> Self {
        self.reason = Cow::Borrowed(name);
        self
    }

    /// A remark that is sealed.
    pub fn detail(self, text: impl Into<String>) -> Self {
        self.note("", text)
    }

    /// A remark with a name, sealed.
    pub fn note(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.notes.push((name.into(), text.into()));
        self
    }

    /// A policy, a credential or a limit said no.
    pub const fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }

    /// It was allowed and did not succeed.
    pub const fn failed(mut self) -> Self {
        self.outcome = Outcome::Failed;
        self
    }

    pub(crate) const fn ended(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    pub(crate) const fn closing(mut self, open: AuditId) -> Self {
        self.closes = Some(open);
        self
    }
}
