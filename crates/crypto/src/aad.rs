//! What a sealed value is bound to: the place where it lies and the plain columns that give it meaning.

use sealpost_model::{Id, TenantId};

/// Additional authenticated data of a sealed column (DESIGN section 4): tenant, table, id, column, and then the plain
/// columns that carry security. A mailbox or UID is never among them, so that a move reseals nothing.
///
/// Encoding, a stored format: tenant (8, big endian), length of table (1), table, id (8), length of column (1), column,
/// and for each further value its length (4) and bytes. The format byte of the sealed value goes before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// The place `table.column` of row `id`. Rows that belong to no tenant take [`Aad::instance`].
    ///
    /// Panics if a name is longer than 255 bytes: names are written in the code.
    pub fn new(tenant: TenantId, table: &'static str, id: i64, column: &'static str) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&tenant.raw().to_be_bytes());
        push_name(&mut bytes, table);
        bytes.extend_from_slice(&id.to_be_bytes());
        push_name(&mut bytes, column);
        Self(bytes)
    }

    /// The same for a row that belongs to the instance and to no tenant (tenant 0).
    pub fn instance(table: &'static str, id: i64, column: &'static str) -> Self {
        Self::new(TenantId::from_raw(0), table, id, column)
    }

    /// Binds one more value: a plain column that carries security (a role, a state, an owner).
    #[must_use]
    pub fn with(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Binds a number.
    #[must_use]
    pub fn with_int(self, value: i64) -> Self {
        self.with(&value.to_be_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn push_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(u8::try_from(name.len()).expect("names of tables and columns are short"));
    bytes.extend_from_slice(name.as_bytes());
}
