//! The recovery kit, the ring's second place, and rotations that were cut short.

use std::time::Duration;

use anyhow::Result;
use sealpost_store::keys::recovery;

use super::{Findings, Scene};
use crate::instance::Opened;

/// How long a trial of the kit counts.
const TRIED: Duration = Duration::from_secs(366 * 86_400);

/// What would be missing on the day when something is lost.
pub(super) fn check(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) -> Result<()> {
    kit(scene, opened, found);
    if scene.config.keys.destructions.is_none() {
        found.warn(
            "keys",
            "the key ring has no second place: if its disk is lost, no mail can be opened, from no backup",
            "name one in [keys] destructions, best on another machine's disk",
        );
    }
    match opened.keys.ring().destructions() {
        Ok(number) => found.ok("keys", format!("the list of destructions is whole: {number} so far")),
        Err(error) => found.broken("keys", &anyhow::Error::new(error)),
    }
    if opened.keys.is_rotating()? && !scene.running {
        found.warn(
            "keys",
            "a rotation of the master key was cut short; both master keys open the data",
            "start the server: it goes on where it stopped",
        );
    }
    found.ok("keys", format!("cryptography is done by {}", sealpost_crypto::module()));
    Ok(())
}

fn kit(scene: &Scene<'_>, opened: &Opened, found: &mut Findings) {
    // A demonstration has nothing to lose.
    if scene.config.file.with_file_name(crate::quickstart::SAMPLE).exists() {
        return;
    }
    let today = opened.clock.now();
    match recovery::facts(&opened.keys) {
        Err(error) => found.broken("kit", &anyhow::Error::new(error)),
        Ok(None) => found.fail(
            "kit",
            "there is no recovery kit: if the master key is lost, all mail is lost",
            "make one with `sealpost key kit`, give its shares to several people, and try them with `sealpost key drill`",
        ),
        Ok(Some(kit)) if !kit.opens => found.fail(
            "kit",
            format!("kit {} does not open today's master key", kit.kit),
            "make a new one with `sealpost key kit`",
        ),
        Ok(Some(kit)) => match kit.tried {
            None => found.fail(
                "kit",
                format!("kit {} was never tried", kit.kit),
                format!("bring {} of its {} shares together and run `sealpost key drill`", kit.needed, kit.shares),
            ),
            Some(tried) if today.since(tried) > TRIED => found.warn(
                "kit",
                format!("kit {} was last tried on {}", kit.kit, tried.rfc3339()),
                "try it again with `sealpost key drill`: people move and papers are lost",
            ),
            Some(tried) => found.ok(
                "kit",
                format!("kit {}, {} of {}, opened the master key on {}", kit.kit, kit.needed, kit.shares, tried.rfc3339()),
            ),
        },
    }
}
