//! What a write closure changes, and how urgent it is.

use std::sync::Arc;

use sealpost_model::{AccountId, Id, TenantId};

/// Whose rows a closure changes, named beforehand. Closures that name the same account, the same tenant or the
/// instance run one after the other, on all nodes; SQLite has one writer and needs only the lane.
#[derive(Clone, Debug)]
pub struct Scope {
    locks: Locks,
    bulk: bool,
}

/// Numbers that are locked before a closure runs, in order. Ids of all kinds come from one sequence, so they can't meet.
#[derive(Clone, Debug)]
pub(crate) enum Locks {
    None,
    One(i64),
    Many(Arc<[i64]>),
}

/// What stands for the instance among ids, which begin above it.
const INSTANCE: i64 = 0;

impl Scope {
    /// Changes rows of one account.
    pub fn account(id: AccountId) -> Self {
        Self { locks: Locks::One(id.raw()), bulk: false }
    }

    /// Changes rows of these accounts, all of one tenant.
    pub fn accounts(ids: &[AccountId]) -> Self {
        let mut ids: Vec<i64> = ids.iter().map(|id| id.raw()).collect();
        ids.sort_unstable();
        ids.dedup();
        let locks = match ids.as_slice() {
            [] => Locks::None,
            [one] => Locks::One(*one),
            _ => Locks::Many(ids.into()),
        };
        Self { locks, bulk: false }
    }

    /// Changes rows of a tenant but of no account.
    pub fn tenant(id: TenantId) -> Self {
        Self { locks: Locks::One(id.raw()), bulk: false }
    }

    /// Changes what belongs to no tenant.
    pub const fn instance() -> Self {
        Self { locks: Locks::One(INSTANCE), bulk: false }
    }

    /// Adds rows and changes none that anybody else might: waits for nobody. Invariants rest on UNIQUE and conditional
    /// updates.
    pub const fn unlocked() -> Self {
        Self { locks: Locks::None, bulk: false }
    }

    /// The second lane: waits behind delivery, locks nothing. At most 1,000 rows a closure.
    pub const fn bulk() -> Self {
        Self { locks: Locks::None, bulk: true }
    }

    /// The same rows, in the second lane.
    #[must_use]
    pub fn in_bulk(self) -> Self {
        Self { bulk: true, ..self }
    }

    /// Changes rows of both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut keys = [self.locks.keys(), other.locks.keys()].concat();
        keys.sort_unstable();
        keys.dedup();
        let locks = match keys.as_slice() {
            [] => Locks::None,
            [one] => Locks::One(*one),
            _ => Locks::Many(keys.into()),
        };
        Self { locks, bulk: self.bulk }
    }

    /// Whether it waits behind delivery.
    pub const fn is_bulk(&self) -> bool {
        self.bulk
    }

    pub(crate) const fn locks(&self) -> &Locks {
        &self.locks
    }
}

impl Locks {
    /// The numbers, in the order of their locks.
    pub(crate) fn keys(&self) -> &[i64] {
        match self {
            Self::None => &[],
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}
