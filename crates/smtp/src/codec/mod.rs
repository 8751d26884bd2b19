//! The language of SMTP, as pure functions over bytes.

mod command;
mod data;
mod reply;
mod stuff;
mod xclient;

pub use command::{Bad, Command, Forward, MailParams, Mechanism, parse};
pub use data::{Broken, Step, Unstuff};
pub use reply::{Code, Enhanced, Extensions, Reply, ReplyReader};
pub use stuff::Stuff;
pub use xclient::{OFFER as XCLIENT_OFFER, XClient};
