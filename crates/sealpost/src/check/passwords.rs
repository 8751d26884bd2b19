//! The list of leaked passwords of `[passwords]`: without it no password can be set.

use super::{Findings, Scene};

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let Some(path) = &scene.config.passwords.leaked else { return };
    match sealpost_identity::check_leaked(path) {
        Ok(()) => {
            found.ok("passwords", format!("the list of leaked passwords {} can be searched", path.display()))
        }
        Err(why) => found.fail(
            "passwords",
            format!("the list of leaked passwords can't be searched, so nobody can set a password ({why})"),
            "put the file there (SHA-1, ordered by hash), or remove [passwords] leaked",
        ),
    }
}
