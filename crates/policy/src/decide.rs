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
        for c in Command::ALL {
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
