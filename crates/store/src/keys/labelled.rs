//! A MAC key for each table and column, and the MAC of a row.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sealpost_crypto::{Key, MacKey, Tampered};

/// Blind indexes: for each `table.column` a sub-key, expanded when first used. The names are written in the code, so
/// they are few.
pub(super) struct Blinds {
    parent: Key,
    known: RwLock<HashMap<&'static str, MacKey>>,
}

impl Blinds {
    pub fn new(root: &Key) -> Self {
        Self { parent: root.derive("blind"), known: RwLock::default() }
    }

    pub fn blind(&self, table_column: &'static str, value: &[u8]) -> [u8; 16] {
        if let Some(key) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(table_column) {
            return key.mac(&[value]);
        }
        let key = MacKey::new(&self.parent.derive_for("column", table_column.as_bytes()));
        let hash = key.mac(&[value]);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(table_column, key);
        hash
    }
}

/// The MAC of a row: its table, id and version, then `parts`.
pub(super) fn row_mac(key: &MacKey, table: &str, id: i64, version: i64, parts: &[&[u8]]) -> [u8; 16] {
    let (id, version) = (id.to_be_bytes(), version.to_be_bytes());
    let mut all: Vec<&[u8]> = Vec::with_capacity(3 + parts.len());
    all.extend_from_slice(&[table.as_bytes(), &id, &version]);
    all.extend_from_slice(parts);
    key.mac(&all)
}

/// Whether `mac` is that, in constant time.
pub(super) fn verify_row_mac(
    key: &MacKey,
    table: &str,
    id: i64,
    version: i64,
    parts: &[&[u8]],
    mac: &[u8],
) -> Result<(), Tampered> {
    let right = row_mac(key, table, id, version, parts);
    if sealpost_crypto::constant_time_eq(&right, mac) { Ok(()) } else { Err(Tampered) }
}
