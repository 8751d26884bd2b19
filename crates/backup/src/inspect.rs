//! Looking at every row of the table of sets.

use sealpost_store::Inspection;

use crate::schema::{INSPECT, SetRow};

/// Holds each row against its MAC, and each living set against the key ring.
///
/// # Errors
/// What keeps it from looking.
pub async fn inspect(look: &mut Inspection<'_>) -> Result<(), sealpost_store::Error> {
    let mut after = i64::MIN;
    while let Some((last, rows)) = look.page("backup_set", INSPECT, after, SetRow::read).await? {
        after = last;
        for (row, mac) in rows {
            if !sealpost_crypto::constant_time_eq(&row.mac(look.keys().instance()), &mac) {
                look.fault("backup_set", row.id, "mac", "it is not what was written");
            } else if row.is_there() && look.keys().ring().key(row.life).is_none() {
                look.fault(
                    "backup_set",
                    row.id,
                    "life",
                    "the key ring has no such life key: it can't be restored",
                );
            }
        }
    }
    Ok(())
}
