//! Walking and filling tables whose names are known only at run time.

use std::pin::pin;

use futures_core::Stream as _;
use tokio_postgres::Statement;

use super::cells::{Cell, Owned};
use super::{Session, errors};
use crate::{Error, Result, Value};

impl Session {
    /// Hands out the rows of a statement as they come in. The server waits while `each` works.
    pub(crate) fn walk<E: From<Error>>(
        &self,
        text: &str,
        each: &mut dyn FnMut(&[Value<'_>]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let failed = |e: tokio_postgres::Error| E::from(errors::of(&e, "walk"));
        self.runtime.block_on(async {
            let statement = self.client.prepare(text).await.map_err(failed)?;
            let none: [i64; 0] = [];
            let mut rows = pin!(self.client.query_raw(&statement, none).await.map_err(failed)?);
            let mut count = 0;
            while let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
                let row = row.map_err(failed)?;
                let mut values = Vec::with_capacity(row.len());
                for at in 0..row.len() {
                    let Cell(value) = row.try_get(at).map_err(failed)?;
                    values.push(crate::copy::value(value)?);
                }
                each(&values)?;
                count += 1;
            }
            Ok(count)
        })
    }

    /// Has the server read a text of ours that is made at run time; for several calls of [`Session::add`].
    pub(crate) fn read_text(&self, text: &str) -> Result<Statement> {
        self.runtime.block_on(self.client.prepare(text)).map_err(|e| errors::of(&e, "load"))
    }

    /// Runs a statement that was read; its outcome is looked at by [`Session::settle`].
    pub(crate) fn add(&self, statement: &Statement, row: &[Value<'_>]) {
        let row: Vec<Owned> = row.iter().map(Owned::from).collect();
        let (client, statement) = (self.client.clone(), statement.clone());
        self.push("load", async move { client.execute_raw(&statement, row).await });
    }

    /// The first column of the last row of a text, when that is an integer.
    pub(crate) fn number(&self, text: &str) -> Result<Option<i64>> {
        let mut found = None;
        self.walk::<Error>(text, &mut |row| {
            if let [Value::Int(n), ..] = row {
                found = Some(*n);
            }
            Ok(())
        })?;
        Ok(found)
    }
}
