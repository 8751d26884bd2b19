//! What every host has.

pub mod assets;
pub mod healthz;
pub mod language;
pub mod robots;
