//! The proof that a decision was taken.

use sealpost_model::Actor;

use crate::Right;

/// "This actor may use this thing with this right." Only [`crate::decide`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Access<T> {
    target: T,
    actor: Actor,
    right: Right,
}

impl<T: Copy> Access<T> {
    pub(crate) const fn new(target: T, actor: Actor, right: Right) -> Self {
        Self { target, actor, right }
    }

    /// The thing.
    pub const fn target(&self) -> T {
        self.target
    }

    /// Who was allowed.
    pub const fn actor(&self) -> Actor {
        self.actor
    }

    /// How far it goes.
    pub const fn right(&self) -> Right {
        self.right
    }

    /// Whether changes are allowed.
    pub const fn may_write(&self) -> bool {
        matches!(self.right, Right::Write)
    }
}
