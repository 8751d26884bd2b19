//! The same changes in rows of a PostgreSQL.

use anyhow::{Context, Result};
use postgres::{Client, types::ToSql};

use super::{Change, VOUCHED, flip_bytes, flip_text};
use crate::{Database, Dice, Ground};

/// The databases of a ground, each with a copy of what it was.
pub(super) struct Databases<'a>(Vec<(&'a Database, Database)>);

impl<'a> Databases<'a> {
    pub(super) fn copy(ground: &'a Ground) -> Result<Self> {
        let copies = ground.databases().iter().map(|database| Ok((database, database.copy()?)));
        Ok(Databases(copies.collect::<Result<_>>()?))
    }

    /// A connection to one of them, nine times of ten when there is one.
    pub(super) fn pick(&self, dice: &mut Dice) -> Option<Result<Client>> {
        let (database, _) = dice.pick(&self.0)?;
        (dice.below(10) != 0).then(|| database.connect())
    }

    pub(super) fn restore(&self) -> Result<()> {
        self.0.iter().try_for_each(|(database, copy)| database.restore(copy))
    }
}

/// One column flipped, one column of two rows swapped, or one row removed.
pub(super) fn change(mut client: Client, dice: &mut Dice) -> Result<Option<Change>> {
    let tables = client.query(
        "SELECT table_name::text FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1",
        &[],
    )?;
    let table: String = dice.pick(&tables).context("no tables")?.get(0);
    let columns = client.query(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name::text = $1 ORDER BY ordinal_position",
        &[&table],
    )?;
    let rows = client.query(&format!("SELECT ctid::text FROM \"{table}\" LIMIT 5000"), &[])?;
    let (Some(row), Some(column)) = (dice.pick(&rows), dice.pick(&columns)) else { return Ok(None) };
    let (row, name, kind): (String, String, String) = (row.get(0), column.get(0), column.get(1));
    let done = |what: String| {
        let vouched = VOUCHED.contains(&table.as_str());
        Some(Change { text: format!("{table} {row}: {what}"), name: table.clone(), vouched })
    };
    let place = "ctid = $1::text::tid";
    let way = dice.below(10);
    if way == 9 {
        client.execute(&format!("DELETE FROM \"{table}\" WHERE {place}"), &[&row])?;
        return Ok(done("removed".into()));
    }
    if way == 8 {
        let other: String = dice.pick(&rows).context("rows")?.get(0);
        let swap = format!(
            "UPDATE \"{table}\" t SET \"{name}\" = o.\"{name}\" FROM \"{table}\" o
             WHERE (t.ctid, o.ctid) IN (($1::text::tid, $2::text::tid), ($2::text::tid, $1::text::tid))
             AND t.\"{name}\" IS DISTINCT FROM o.\"{name}\""
        );
        // What a constraint refuses can't be in a database.
        let swapped = client.execute(&swap, &[&row, &other]).is_ok_and(|rows| rows == 2);
        return Ok(if swapped { done(format!("{name} swapped with {other}")) } else { None });
    }
    let old = client.query_one(&format!("SELECT \"{name}\" FROM \"{table}\" WHERE {place}"), &[&row])?;
    let new: Option<Box<dyn ToSql + Sync>> = match kind.as_str() {
        "bigint" => {
            let bit = 1_i64 << dice.below(16);
            old.get::<_, Option<i64>>(0).map(|n| Box::new(n ^ bit) as _)
        }
        "bytea" => old.get::<_, Option<_>>(0).and_then(|b| flip_bytes(b, dice)).map(|b| Box::new(b) as _),
        "text" => old.get::<_, Option<_>>(0).and_then(|t| flip_text(t, dice)).map(|t| Box::new(t) as _),
        _ => None,
    };
    let Some(new) = new else { return Ok(None) };
    let flip = format!("UPDATE \"{table}\" SET \"{name}\" = $2 WHERE {place}");
    let flipped = client.execute(&flip, &[&row, &*new]).is_ok_and(|rows| rows == 1);
    Ok(if flipped { done(format!("{name} flipped")) } else { None })
}
