//! The pickup portal: what a recipient sees, from the link in the notice to the reply.

pub mod closed;
pub mod code;
pub mod file;
pub mod frame;
pub mod gone;
pub mod letter;
pub mod message;
pub mod open;
pub mod original;
pub mod replied;
pub mod reply;

use sealpost_pickup::Person;

use crate::page::Party;

pub(crate) fn party(person: &Person) -> Party {
    Party { name: person.name.clone(), address: person.address.clone() }
}
