//! A key from a passphrase: argon2id (RFC 9106), slow and large on purpose, since it is done once a start and whoever
//! steals the folder may try for years.

use argon2::{Algorithm, Argon2, Params, Version};
use sealpost_model::Secret;
use zeroize::Zeroize;

use crate::Key;

/// What one try costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// 256 MiB and four passes: about a second of one core. Four times the memory that RFC 9106 section 4 names for machines
/// where memory is scarce, and more passes.
pub const COST: Cost = Cost { memory: 256 << 10, passes: 4, lanes: 1 };

/// Parameters that a stored file may ask for without exhausting the machine.
const MOST: Cost = Cost { memory: 4 << 20, passes: 64, lanes: 16 };

/// The key that `passphrase` gives with this salt and cost. `None` when the cost is out of bounds, or the machine has not
/// so much memory.
pub fn stretch(passphrase: &Secret<String>, salt: &[u8; 16], cost: Cost) -> Option<Key> {
    if cost.memory > MOST.memory || cost.passes > MOST.passes || cost.lanes > MOST.lanes {
        return None;
    }
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(Key::LEN)).ok()?;
    let mut bytes = [0; Key::LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut bytes)
        .ok()?;
    let key = Key::from_bytes(bytes);
    bytes.zeroize();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory: 64, passes: 1, lanes: 1 };

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_key_depends_on_passphrase_salt_and_cost() {
        let key = stretch(&secret("correct horse"), &[1; 16], CHEAP).unwrap();
        assert_eq!(stretch(&secret("correct horse"), &[1; 16], CHEAP), Some(key.clone()));
        assert_ne!(stretch(&secret("correct horsf"), &[1; 16], CHEAP), Some(key.clone()));
        assert_ne!(stretch(&secret("correct horse"), &[2; 16], CHEAP), Some(key.clone()));
        assert_ne!(stretch(&secret("correct horse"), &[1; 16], Cost { passes: 2, ..CHEAP }), Some(key));
    }

    #[test]
    fn a_cost_out_of_bounds_is_refused() {
        for cost in [
            Cost { memory: u32::MAX, ..CHEAP },
            Cost { passes: 1_000, ..CHEAP },
            Cost { lanes: 0, ..CHEAP },
            Cost { memory: 0, ..CHEAP },
        ] {
            assert_eq!(stretch(&secret("x"), &[1; 16], cost), None, "{cost:?}");
        }
    }
}
