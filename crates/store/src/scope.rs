//! What a write closure changes, and how urgent it is.

use sealpost_model::{AccountId, TenantId};

/// The accounts whose rows a closure changes, named beforehand: a cluster locks them first, in order. SQLite has one
/// writer and needs only the lane.
#[derive(Clone, Debug)]
pub struct Scope {
    accounts: Accounts,
    bulk: bool,
}

#[derive(Clone, Debug)]
enum Accounts {
    None,
    One(AccountId),
    Many(Vec<AccountId>),
}

impl Scope {
    /// Changes rows of one account.
    pub const fn account(id: AccountId) -> Self {
        Self { accounts: Accounts::One(id), bulk: false }
    }

    /// Changes rows of these accounts, all of one tenant.
    pub fn accounts(ids: &[AccountId]) -> Self {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        Self { accounts: Accounts::Many(ids), bulk: false }
    }

    /// Changes rows of a tenant but of no account; invariants rest on UNIQUE and conditional updates.
    pub const fn tenant(_id: TenantId) -> Self {
        Self { accounts: Accounts::None, bulk: false }
    }

    /// Changes what belongs to no tenant.
    pub const fn instance() -> Self {
        Self { accounts: Accounts::None, bulk: false }
    }

    /// The second lane: waits behind delivery. At most 1,000 rows a closure.
    pub const fn bulk() -> Self {
        Self { accounts: Accounts::None, bulk: true }
    }

    /// The same accounts, in the second lane.
    #[must_use]
    pub fn in_bulk(self) -> Self {
        Self { bulk: true, ..self }
    }

    /// The accounts, in the order of their locks.
    pub fn locked(&self) -> &[AccountId] {
        match &self.accounts {
            Accounts::None => &[],
            Accounts::One(id) => std::slice::from_ref(id),
            Accounts::Many(ids) => ids,
        }
    }

    /// Whether it waits behind delivery.
    pub const fn is_bulk(&self) -> bool {
        self.bulk
    }
}
