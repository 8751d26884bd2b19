//! What a signed-in person sees: signing in, the messages that wait, and the sender's view of each.

pub mod code;
pub mod confirm;
pub mod extend;
pub mod home;
pub mod sent;
pub mod setup;
pub mod signin;
pub mod signout;
