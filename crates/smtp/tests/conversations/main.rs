//! A real session over memory, with a backend that remembers what it was asked.

mod dialogs;
mod limits;
mod support;
