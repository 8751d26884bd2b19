//! The mail service from outside: over a real store, whose closures all run twice.

mod access;
mod changes;
mod content;
mod counters;
mod damage;
mod flags;
mod folders;
mod world;
