//! What tests drive Sealpost with: a whole server on free ports, small blocking clients, real programs, harnesses.
//!
//! - [`server`]: `sealpost quickstart` as its own process, killed and started again by its process id.
//! - [`smtp`], [`imap`], [`pop3`], [`http`] over [`wire`]: clients that do little, and show each byte they got. Where a real
//!   program can do it (curl, swaks, mbsync, Chromium), tests use [`program`] instead.
//! - [`acme`]: an ACME server that issues certificates.
//! - [`postfix`] and [`tap`]: the rest of the world, and whoever listens on the way.
//! - [`bucket`] and [`faulty`]: an S3 server, and a way to it that fails or hangs.
//! - [`database`]: an empty database of a test's own in a throw-away PostgreSQL.
//! - [`postgres`]: every table and statement, held against a throw-away PostgreSQL.
//! - [`dice`]: seeded chance; a failing run is repeated by its seed.
//! - [`ground`]: what a server stands on: its folder alone, or a database.
//! - [`harness`]: the big questions (is anything lost, shown, changed unseen, slow) with a size as parameter: the tests
//!   ask small, `cargo xtask soak` and `cargo xtask bench` in full.
//!
//! Everything here fails with words (`anyhow`): its only callers are tests and the two commands, and nobody handles
//! one failure differently from another.

pub mod acme;
pub mod bucket;
pub mod database;
pub mod dice;
pub mod faulty;
pub mod ground;
pub mod harness;
pub mod http;
pub mod imap;
pub mod pop3;
pub mod postfix;
pub mod postgres;
pub mod process;
pub mod program;
pub mod server;
pub mod smtp;
pub mod tap;
pub mod wire;

pub use database::Database;
pub use dice::Dice;
pub use ground::Ground;
pub use server::Server;
