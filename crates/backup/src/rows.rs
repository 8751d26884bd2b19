//! Rows as bytes, and where a run of them is cut into pieces. [F]
//!
//! ```text
//! piece = *row
//! row   = *cell                  as many as the table has columns
//! cell  = 0                      NULL
//!       | 1 varint               integer, zigzag
//!       | 2 varint *OCTET        bytes, their count in front
//!       | 3 varint *OCTET        text, UTF-8
//! ```
//!
//! Varints are LEB128, least significant first. A piece ends behind a row whose CRC-32 ends in ten zero bits, once it
//! has 512 KiB, and in any case at 4 MiB. So a row that changes gives a new piece, and the pieces behind it stay as they
//! are: the next set names them again and copies nothing.

use sealpost_store::Value;

/// Below this a piece does not end.
const LEAST: usize = 512 << 10;
/// Here it ends whatever comes.
const MOST: usize = 4 << 20;
/// One row in so many ends a piece.
const MASK: u32 = 0x3ff;

/// Collects rows into pieces.
#[derive(Default)]
pub(crate) struct Cutter {
    piece: Vec<u8>,
    rows: u32,
}

impl Cutter {
    /// Takes a row; answers the piece and its number of rows if it ends here.
    pub(crate) fn push(&mut self, row: &[Value<'_>]) -> Option<(Vec<u8>, u32)> {
        let start = self.piece.len();
        row.iter().for_each(|value| print(value, &mut self.piece));
        self.rows += 1;
        let length = self.piece.len();
        let cut = length >= MOST
            || length >= LEAST && crc32fast::hash(self.piece.get(start..).unwrap_or_default()) & MASK == 0;
        if cut { self.end() } else { None }
    }

    /// The last piece, if there is one.
    pub(crate) fn end(&mut self) -> Option<(Vec<u8>, u32)> {
        let rows = std::mem::take(&mut self.rows);
        (rows > 0).then(|| (std::mem::take(&mut self.piece), rows))
    }
}

fn print(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Int(n) => {
            out.push(1);
            varint(((n << 1) ^ (n >> 63)) as u64, out);
        }
        Value::Bytes(bytes) => {
            out.push(2);
            varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => {
            out.push(3);
            varint(text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads the rows of a piece, each of `columns` cells. False when the bytes are no such rows; `each` may have been
/// called before.
pub(crate) fn read<E>(
    mut piece: &[u8],
    columns: usize,
    mut each: impl FnMut(&[Value<'_>]) -> Result<(), E>,
) -> Result<bool, E> {
    let mut row = Vec::with_capacity(columns);
    while !piece.is_empty() {
        row.clear();
        for _ in 0..columns {
            let Some((value, rest)) = parse(piece) else { return Ok(false) };
            row.push(value);
            piece = rest;
        }
        if columns == 0 {
            return Ok(false);
        }
        each(&row)?;
    }
    Ok(true)
}

fn parse(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    if *tag == 0 {
        return Some((Value::Null, rest));
    }
    let (n, rest) = parse_varint(rest)?;
    if *tag == 1 {
        return Some((Value::Int((n >> 1) as i64 ^ -((n & 1) as i64)), rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(n).ok()?)?;
    match tag {
        2 => Some((Value::Bytes(value), rest)),
        3 => Some((Value::Text(std::str::from_utf8(value).ok()?), rest)),
        _ => None,
    }
}

fn parse_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut n = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        n |= bits.checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            // The tenth byte holds one bit.
            return (at < 9 || *byte <= 1).then(|| (n, bytes.get(at + 1..).unwrap_or_default()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(value: &Value<'_>) -> String {
        match value {
            Value::Null => "null".into(),
            Value::Int(n) => n.to_string(),
            Value::Bytes(b) => format!("{b:?}"),
            Value::Text(t) => format!("{t:?}"),
        }
    }

    #[test]
    fn rows_come_back_and_cut_bytes_are_refused() {
        let long = vec![7; 300];
        let rows = [
            [Value::Int(0), Value::Null, Value::Text("")],
            [Value::Int(i64::MIN), Value::Bytes(&[]), Value::Text("é")],
            [Value::Int(i64::MAX), Value::Bytes(&long), Value::Int(-1)],
        ];
        let mut cutter = Cutter::default();
        assert!(rows.iter().all(|row| cutter.push(row).is_none()));
        let (piece, count) = cutter.end().unwrap();
        assert_eq!(count, 3);
        assert!(cutter.end().is_none());
        let mut got = Vec::new();
        let whole = read::<()>(&piece, 3, |row| {
            got.push(row.iter().map(words).collect::<Vec<_>>());
            Ok(())
        });
        assert_eq!(whole, Ok(true));
        assert_eq!(got, rows.iter().map(|r| r.iter().map(words).collect::<Vec<_>>()).collect::<Vec<_>>());
        for cut in 1..piece.len() {
            let mut seen = 0;
            let read = read::<()>(&piece[..cut], 3, |_| {
                seen += 1;
                Ok(())
            });
            assert!(read == Ok(false) || seen < 3, "{cut}");
        }
        assert_eq!(
            read::<()>(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], 1, |_| Ok(())),
            Ok(false)
        );
        assert_eq!(read::<()>(&[3, 1, 0xff], 1, |_| Ok(())), Ok(false));
    }

    #[test]
    fn a_changed_row_leaves_the_other_pieces_as_they_are() {
        let pieces = |changed: Option<i64>| {
            let (mut cutter, mut out) = (Cutter::default(), Vec::new());
            for n in 0..40_000_i64 {
                let body = vec![(n % 251) as u8; 100];
                let mark = if Some(n) == changed { -1 } else { n };
                out.extend(cutter.push(&[Value::Int(n), Value::Int(mark), Value::Bytes(&body)]));
            }
            out.extend(cutter.end());
            out
        };
        let (before, after) = (pieces(None), pieces(Some(20_000)));
        assert!(before.len() >= 5, "{}", before.len());
        let new = after.iter().filter(|piece| !before.contains(piece)).count();
        assert!((1..=2).contains(&new), "{new} of {}", after.len());
    }
}
