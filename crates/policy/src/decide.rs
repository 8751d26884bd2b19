//! The decisions, each one pure function. What none of them allows is refused.

use sealpost_model::{AccountId, Actor, PersonId, TenantId};

use crate::{
    Access, Command, Denied, DomainPolicy, Grade, Method, Plan, Reason, RecipientFacts, Right, Role, Roles,
};

/// What is known of a mailbox when somebody wants to use it.
#[derive(Clone, Copy, Debug)]
pub struct MailboxFacts {
    /// Which.
    pub account: AccountId,
    /// Its organisation.
    pub tenant: TenantId,
    /// Whose it is.
    pub owner: Option<PersonId>,
    /// The right that the actor was granted beside ownership.
    pub grant: Option<Right>,
}

/// May `actor` use a mailbox with `right`? The owner and who was granted it may (S36); no role opens a mailbox.
///
/// # Errors
/// The reason of the refusal.
pub fn mailbox(actor: Actor, facts: &MailboxFacts, right: Right) -> Result<Access<AccountId>, Denied> {
    let Actor::Person { tenant, person } = actor else { return Err(Reason::NoGrant.into()) };
    if tenant != facts.tenant {
        return Err(Reason::ForeignTenant.into());
    }
    if facts.owner == Some(person) {
        return Ok(Access::new(facts.account, actor, right));
    }
    match facts.grant {
        Some(granted) if granted >= right => Ok(Access::new(facts.account, actor, right)),
        Some(_) => Err(Reason::GrantTooNarrow.into()),
        None => Err(Reason::NoGrant.into()),
    }
}

/// May somebody with these roles run an administrative command?
///
/// # Errors
/// [`Reason::RoleMissing`].
pub fn command(roles: Roles, command: Command) -> Result<Reason, Denied> {
    if command.roles().iter().any(|role| roles.has(*role)) {
        Ok(Reason::Role)
    } else {
        Err(Reason::RoleMissing.into())
    }
}

/// May `roles` receive a role from somebody with `giver`'s roles? Nobody hands out more than they could use:
/// security officials give all but operator, tenant admins give what is below themselves.
///
/// # Errors
/// [`Reason::RoleMissing`].
pub fn give_role(giver: Roles, role: Role) -> Result<Reason, Denied> {
    let allowed = match role {
        Role::User | Role::Delegate | Role::DomainAdmin => {
            giver.has(Role::TenantAdmin) || giver.has(Role::SecurityOfficial) || giver.has(Role::Operator)
        }
        Role::Auditor | Role::TenantAdmin | Role::SecurityOfficial => giver.has(Role::SecurityOfficial),
        Role::Operator => false,
    };
    if allowed { Ok(Reason::Role) } else { Err(Reason::RoleMissing.into()) }
}

/// What is known when somebody is to get rights on a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantFacts {
    /// The organisation of the mailbox.
    pub mailbox_tenant: TenantId,
    /// The organisation of the person.
    pub person_tenant: TenantId,
    /// Whether any address of the mailbox is of a HIPAA domain.
    pub mailbox_hipaa: bool,
    /// Whether the person's own address is of a HIPAA domain.
    pub person_hipaa: bool,
}

/// May somebody have rights on somebody else's mailbox at all (S7, S10)? Asked when they are given and at each use.
///
/// # Errors
/// [`Reason::ForeignTenant`], [`Reason::HipaaMailbox`].
pub fn grant(facts: &GrantFacts) -> Result<Reason, Denied> {
    if facts.mailbox_tenant != facts.person_tenant {
        return Err(Reason::ForeignTenant.into());
    }
    if facts.mailbox_hipaa && !facts.person_hipaa {
        return Err(Reason::HipaaMailbox.into());
    }
    Ok(Reason::Role)
}

/// May `second` agree to what `first` asked for, about `subject`? Two different people with a role that decides, neither
/// of them the one whom it is about.
///
/// # Errors
/// [`Reason::RoleMissing`], [`Reason::SecondPerson`].
pub fn second_person(
    first: PersonId,
    subject: Option<PersonId>,
    second: PersonId,
    roles: Roles,
) -> Result<Reason, Denied> {
    command(roles, Command::ActDecide)?;
    if first == second || subject == Some(second) {
        return Err(Reason::SecondPerson.into());
    }
    Ok(Reason::Role)
}

/// Who may write to a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Posting {
    /// Anybody, people outside too.
    Anyone = 1,
    /// Whoever signed in to the organisation.
    Organisation = 2,
    /// Its members.
    Members = 3,
    /// Those on its list.
    Listed = 4,
}

impl Posting {
    const ALL: [Self; 4] = [Self::Anyone, Self::Organisation, Self::Members, Self::Listed];

    /// Its word on the command line and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Organisation => "organisation",
            Self::Members => "members",
            Self::Listed => "listed",
        }
    }

    /// The rule with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.word() == word)
    }
}

/// Whoever wants to write to a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poster {
    /// Nobody who signed in: a name in a header proves nothing.
    Outside,
    /// Somebody of the organisation, or the server for it.
    Inside {
        /// Whether they are a member.
        member: bool,
        /// Whether they are on the list.
        listed: bool,
    },
}

/// May they write to the group?
///
/// # Errors
/// [`Reason::GroupClosed`].
pub fn post(rule: Posting, poster: Poster) -> Result<Reason, Denied> {
    let allowed = match (rule, poster) {
        (Posting::Anyone, _) | (Posting::Organisation, Poster::Inside { .. }) => true,
        (Posting::Members, Poster::Inside { member, .. }) => member,
        (Posting::Listed, Poster::Inside { listed, .. }) => listed,
        (_, Poster::Outside) => false,
    };
    if allowed { Ok(Reason::Role) } else { Err(Reason::GroupClosed.into()) }
}

/// How may a message of a person reach one recipient?
pub fn plan(facts: RecipientFacts, domain: DomainPolicy, asked_pickup: bool) -> Plan {
    let floor = domain.effective_floor();
    match facts {
        RecipientFacts::SameTenant => {
            Plan { methods: vec![Method::Mailbox], floor, reason: Reason::LocalMailbox }
        }
        RecipientFacts::OtherTenant => {
            Plan { methods: vec![Method::Local], floor, reason: Reason::LocalMailbox }
        }
        RecipientFacts::Outside if asked_pickup => {
            Plan { methods: vec![Method::Pickup], floor, reason: Reason::SenderAskedPickup }
        }
        RecipientFacts::Outside => {
            Plan { methods: vec![Method::Smtp, Method::Pickup], floor, reason: Reason::VerifiableTransport }
        }
    }
}

/// The floor of a notice or of a DSN without content: they may go where the message must not (`notice_floor`).
pub const fn notice_floor() -> Grade {
    Grade::Clear
}

#[cfg(test)]
mod tests {
    use sealpost_model::Id;

    use super::*;

    fn facts(owner: i64, grant: Option<Right>) -> MailboxFacts {
        MailboxFacts {
            account: AccountId::from_raw(9),
            tenant: TenantId::from_raw(1),
            owner: Some(PersonId::from_raw(owner)),
            grant,
        }
    }

    fn person(tenant: i64, person: i64) -> Actor {
        Actor::Person { tenant: TenantId::from_raw(tenant), person: PersonId::from_raw(person) }
    }

    #[test]
    fn a_mailbox_opens_to_its_owner_and_to_grants_alone() {
        assert!(mailbox(person(1, 5), &facts(5, None), Right::Write).is_ok());
        let refused = |actor, facts, right| mailbox(actor, &facts, right).expect_err("refused").reason;
        assert_eq!(refused(person(1, 6), facts(5, None), Right::Read), Reason::NoGrant);
        assert_eq!(refused(person(1, 6), facts(5, Some(Right::Read)), Right::Write), Reason::GrantTooNarrow);
        assert!(mailbox(person(1, 6), &facts(5, Some(Right::Read)), Right::Read).is_ok());
        assert_eq!(refused(person(2, 5), facts(5, Some(Right::Write)), Right::Read), Reason::ForeignTenant);
        for actor in [Actor::System, Actor::Stranger, Actor::Operator { uid: 0 }] {
            assert_eq!(refused(actor, facts(5, Some(Right::Write)), Right::Read), Reason::NoGrant);
        }
    }

    #[test]
    fn each_role_may_what_is_listed_and_nothing_else() {
        for c in Command::ALL.iter().copied() {
            for role in Role::ALL {
                let verdict = command(Roles::NONE.with(role), c);
                assert_eq!(verdict.is_ok(), c.roles().contains(&role), "{role:?} {c:?}");
            }
            assert!(command(Roles::NONE, c).is_err());
            assert!(command(Roles::NONE.with(Role::User), c).is_err(), "{c:?} is open to users");
        }
    }

    #[test]
    fn nobody_makes_an_operator_and_only_the_official_makes_readers() {
        for role in Role::ALL {
            assert!(give_role(Roles::NONE.with(role), Role::Operator).is_err());
            let makes_auditor = give_role(Roles::NONE.with(role), Role::Auditor).is_ok();
            assert_eq!(makes_auditor, role == Role::SecurityOfficial);
        }
    }

    #[test]
    fn a_mailbox_of_a_hipaa_domain_is_for_people_of_one() {
        let (one, two) = (TenantId::from_raw(1), TenantId::from_raw(2));
        for (tenant, mailbox_hipaa, person_hipaa, want) in [
            (one, true, true, None),
            (one, false, false, None),
            (one, false, true, None),
            (one, true, false, Some(Reason::HipaaMailbox)),
            (two, false, false, Some(Reason::ForeignTenant)),
        ] {
            let facts =
                GrantFacts { mailbox_tenant: one, person_tenant: tenant, mailbox_hipaa, person_hipaa };
            assert_eq!(grant(&facts).err().map(|d| d.reason), want, "{facts:?}");
        }
    }

    #[test]
    fn two_people_are_two_and_neither_is_the_one_it_is_about() {
        let [a, b, c] = [1, 2, 3].map(PersonId::from_raw);
        let admin = Roles::NONE.with(Role::TenantAdmin);
        assert!(second_person(a, Some(c), b, admin).is_ok());
        assert_eq!(second_person(a, Some(c), a, admin), Err(Reason::SecondPerson.into()));
        assert_eq!(second_person(a, Some(b), b, admin), Err(Reason::SecondPerson.into()));
        let auditor = Roles::NONE.with(Role::Auditor).with(Role::User);
        assert_eq!(second_person(a, None, b, auditor), Err(Reason::RoleMissing.into()));
    }

    #[test]
    fn a_name_from_outside_opens_no_group() {
        let inside = |member, listed| Poster::Inside { member, listed };
        for (rule, poster, may) in [
            (Posting::Anyone, Poster::Outside, true),
            (Posting::Organisation, Poster::Outside, false),
            (Posting::Organisation, inside(false, false), true),
            (Posting::Members, inside(true, false), true),
            (Posting::Members, inside(false, true), false),
            (Posting::Members, Poster::Outside, false),
            (Posting::Listed, inside(false, true), true),
            (Posting::Listed, inside(true, false), false),
            (Posting::Listed, Poster::Outside, false),
        ] {
            assert_eq!(post(rule, poster).is_ok(), may, "{rule:?} {poster:?}");
        }
    }

    #[test]
    fn a_hipaa_domain_never_goes_below_its_floor() {
        let lax = DomainPolicy { hipaa: true, floor: Grade::Clear };
        assert_eq!(plan(RecipientFacts::Outside, lax, false).floor, Grade::WebpkiMx);
        let strict = DomainPolicy { hipaa: true, floor: Grade::Dane };
        assert_eq!(plan(RecipientFacts::Outside, strict, false).floor, Grade::Dane);
    }

    #[test]
    fn whoever_asks_for_pickup_gets_it_and_nothing_else() {
        let plan = plan(RecipientFacts::Outside, DomainPolicy::HIPAA, true);
        assert_eq!(plan.methods, [Method::Pickup]);
    }
}
