//! Values on their way into PostgreSQL and out of it.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use rusqlite::types::ValueRef;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::Value;

type Failure = Box<dyn StdError + Sync + Send>;

/// A column of a row, as SQLite would have given it: integers, counts and truth values are integers.
pub(crate) struct Cell<'a>(pub(crate) ValueRef<'a>);

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let value = match *kind {
            Type::INT8 => ValueRef::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => ValueRef::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => ValueRef::Integer(i16::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => ValueRef::Integer(i64::from(raw == [1])),
            Type::NUMERIC => ValueRef::Integer(numeric(raw).ok_or("a number that is no integer")?),
            Type::BYTEA => ValueRef::Blob(raw),
            Type::TEXT | Type::VARCHAR | Type::NAME => ValueRef::Text(raw),
            _ => return Err(format!("a column of type {kind}").into()),
        };
        Ok(Self(value))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The sum of a BIGINT column comes as NUMERIC: digits to the base 10,000, the weight of the first, a sign.
fn numeric(raw: &[u8]) -> Option<i64> {
    let word = |n: usize| Some(i16::from_be_bytes(raw.get(2 * n..2 * n + 2)?.try_into().ok()?));
    let (digits, weight, sign) = (word(0)?, word(1)?, word(2)?);
    let mut value: i64 = 0;
    for place in 0..=weight {
        let digit = if place < digits { word(4 + usize::try_from(place).ok()?)? } else { 0 };
        value = value.checked_mul(10_000)?.checked_add(digit.into())?;
    }
    let whole = digits <= weight.saturating_add(1);
    match sign {
        _ if !whole => None,
        0 => Some(value),
        0x4000 => value.checked_neg(),
        _ => None,
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match (self, kind) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Int(n), &Type::INT8) => out.put_i64(*n),
            (Self::Int(n), &Type::INT4) => out.put_i32(i32::try_from(*n)?),
            (Self::Int(n), &Type::INT2) => out.put_i16(i16::try_from(*n)?),
            (Self::Int(n), &Type::BOOL) => out.put_u8(u8::from(*n != 0)),
            (Self::Bytes(b), &Type::BYTEA) => out.put_slice(b),
            (Self::Text(t), &Type::TEXT | &Type::VARCHAR) => out.put_slice(t.as_bytes()),
            _ => return Err(format!("a parameter of type {kind} was given {self:?}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value that outlives its statement's call.
#[derive(Debug)]
pub(super) enum Owned {
    Null,
    Int(i64),
    Bytes(Box<[u8]>),
    Text(Box<str>),
}

impl From<&Value<'_>> for Owned {
    fn from(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(n) => Self::Int(*n),
            Value::Bytes(b) => Self::Bytes((*b).into()),
            Value::Text(t) => Self::Text((*t).into()),
        }
    }
}

impl ToSql for Owned {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let value = match self {
            Self::Null => Value::Null,
            Self::Int(n) => Value::Int(*n),
            Self::Bytes(b) => Value::Bytes(b),
            Self::Text(t) => Value::Text(t),
        };
        value.to_sql(kind, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read() {
        let print = |weight: i16, sign: i16, digits: &[i16]| -> Vec<u8> {
            let head = [i16::try_from(digits.len()).unwrap(), weight, sign, 0];
            head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
        };
        assert_eq!(numeric(&print(0, 0, &[])), Some(0));
        assert_eq!(numeric(&print(0, 0, &[7])), Some(7));
        assert_eq!(numeric(&print(1, 0, &[12])), Some(120_000));
        assert_eq!(numeric(&print(2, 0x4000, &[1, 2, 3])), Some(-100_020_003));
        // A fraction, NaN, more than 64 bits, a cut.
        assert_eq!(numeric(&print(0, 0, &[1, 5000])), None);
        assert_eq!(numeric(&print(0, -0x4000, &[])), None);
        assert_eq!(numeric(&print(9, 0, &[9999])), None);
        assert_eq!(numeric(&print(1, 0, &[12])[..9]), None);
    }
}
