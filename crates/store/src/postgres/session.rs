//! One connection, used from one thread, whose statements need not be waited for one by one.
//!
//! A statement that is *posted* is handed to the connection and its answer left for later: it travels with the next
//! statement that is waited for, in one write. PostgreSQL answers in order, and after an error refuses the rest of the
//! transaction, so the first error is the one that counts.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::Stream as _;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Row, Statement};

use super::cells::Owned;
use super::connect::Place;
use super::errors;
use crate::{Error, Result, Sql, Value};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// It commits closures.
    Write,
    /// It looks at snapshots; a statement that takes longer is stopped.
    Read(Duration),
}

pub(crate) struct Session {
    // The client goes before the runtime that its connection lives in.
    pub(super) client: Arc<Client>,
    /// By where their text lies in the program: one place holds one text.
    statements: RefCell<HashMap<(usize, usize), Statement>>,
    wrote: Cell<bool>,
    posted: RefCell<VecDeque<Posted>>,
    pub(super) runtime: Runtime,
}

type Answer = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

struct Posted {
    name: &'static str,
    answer: Answer,
}

const LOCK: &str = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k";

impl Session {
    /// Connects. Not from inside a runtime.
    pub(crate) fn connect(place: &Place, purpose: Purpose) -> Result<Self> {
        let runtime = runtime()?;
        let client = runtime.block_on(open(place, purpose, |connection| {
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = %error, "a connection to PostgreSQL ended");
                }
            });
        }))?;
        Ok(Self {
            client: Arc::new(client),
            statements: RefCell::default(),
            wrote: Cell::new(false),
            posted: RefCell::default(),
            runtime,
        })
    }

    /// Whether nothing more can be sent over it.
    pub(crate) fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether anything may have been changed since the last call.
    pub(crate) fn take_wrote(&self) -> bool {
        self.wrote.replace(false)
    }

    /// The rows that a statement gives.
    pub(crate) fn query(&self, sql: &Sql, params: &[Value<'_>]) -> Result<Vec<Row>> {
        if !sql.text().trim_ascii_start().starts_with("SELECT") {
            self.wrote.set(true);
        }
        let statement = self.prepared(sql)?;
        let found = self.runtime.block_on(async {
            let mut rows = pin!(self.client.query_raw(&statement, params).await?);
            let mut found = Vec::new();
            while let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
                found.push(row?);
            }
            Ok(found)
        });
        found.map_err(|e| self.first_error(&e, sql.name()))
    }

    /// Runs a statement; answers how many rows it changed.
    pub(crate) fn execute(&self, sql: &Sql, params: &[Value<'_>]) -> Result<usize> {
        self.wrote.set(true);
        let statement = self.prepared(sql)?;
        let changed = self.runtime.block_on(self.client.execute_raw(&statement, params));
        changed
            .map(|rows| usize::try_from(rows).unwrap_or(usize::MAX))
            .map_err(|e| self.first_error(&e, sql.name()))
    }

    /// Runs a statement whose outcome is looked at later.
    pub(crate) fn post(&self, sql: &Sql, params: &[Value<'_>]) -> Result<()> {
        self.wrote.set(true);
        let statement = self.prepared(sql)?;
        let params: Vec<Owned> = params.iter().map(Owned::from).collect();
        let client = self.client.clone();
        self.push(sql.name(), async move { client.execute_raw(&statement, params).await });
        Ok(())
    }

    /// Runs a statement for each row of parameters; answers how many rows each changed.
    pub(crate) fn execute_each<'v, const N: usize>(
        &self,
        sql: &Sql,
        rows: impl IntoIterator<Item = [Value<'v>; N]>,
    ) -> Result<Vec<usize>> {
        self.wrote.set(true);
        let statement = self.prepared(sql)?;
        let mut begun = Vec::new();
        for row in rows {
            let params: Vec<Owned> = row.iter().map(Owned::from).collect();
            let (client, statement) = (self.client.clone(), statement.clone());
            begun.push(self.begin(async move { client.execute_raw(&statement, params).await }));
        }
        let changed = self.runtime.block_on(async {
            let mut changed = Vec::with_capacity(begun.len());
            let mut failed = None;
            for answer in begun {
                match answer.await {
                    Ok(rows) => changed.push(usize::try_from(rows).unwrap_or(usize::MAX)),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            failed.map_or(Ok(changed), Err)
        });
        changed.map_err(|e| self.first_error(&e, sql.name()))
    }

    /// BEGIN, COMMIT and their like; looked at later.
    pub(crate) fn post_word(&self, word: &'static str) {
        let client = self.client.clone();
        self.push(word, async move { client.batch_execute(word).await.map(|()| 0) });
    }

    /// Waits for these locks, in their order, until the transaction ends; looked at later.
    pub(crate) fn post_locks(&self, keys: &[i64]) -> Result<()> {
        let statement = self.prepare(LOCK, LOCK, || LOCK.to_owned())?;
        let (client, keys) = (self.client.clone(), keys.to_vec());
        self.push("lock", async move { client.execute_raw(&statement, [keys]).await });
        Ok(())
    }

    /// Waits until everything posted has been answered; says what failed first.
    pub(crate) fn settle(&self) -> Result<()> {
        let mut first = Ok(());
        let mut posted = self.posted.borrow_mut();
        if posted.is_empty() {
            return Ok(());
        }
        self.runtime.block_on(async {
            for Posted { name, answer } in posted.drain(..) {
                let answered = answer.await;
                if let (true, Err(error)) = (first.is_ok(), answered) {
                    first = Err(errors::of(&error, name));
                }
            }
        });
        first
    }

    /// Runs a text of several statements, for migrations.
    pub(crate) fn batch(&self, text: &str, name: &str) -> Result<()> {
        self.runtime.block_on(self.client.batch_execute(text)).map_err(|e| errors::of(&e, name))
    }

    /// Has the server read a statement, so that a wrong one shows now.
    pub(crate) fn prepared(&self, sql: &Sql) -> Result<Statement> {
        self.prepare(sql.text(), sql.name(), || sql.postgres())
    }

    fn prepare(&self, key: &'static str, name: &str, text: impl FnOnce() -> String) -> Result<Statement> {
        let key = (key.as_ptr().addr(), key.len());
        if let Some(known) = self.statements.borrow().get(&key) {
            return Ok(known.clone());
        }
        let text = text();
        let statement =
            self.runtime.block_on(self.client.prepare(&text)).map_err(|e| self.first_error(&e, name))?;
        self.statements.borrow_mut().insert(key, statement.clone());
        Ok(statement)
    }

    /// What was posted earlier failed earlier.
    fn first_error(&self, error: &tokio_postgres::Error, name: &str) -> Error {
        self.settle().err().unwrap_or_else(|| errors::of(error, name))
    }

    pub(super) fn push(
        &self,
        name: &'static str,
        answer: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'static,
    ) {
        let answer = self.begin(answer);
        self.posted.borrow_mut().push_back(Posted { name, answer });
    }

    /// Hands a message over, which the first poll does. Nothing is written before somebody waits.
    fn begin(
        &self,
        answer: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'static,
    ) -> Answer {
        let mut answer: Answer = Box::pin(answer);
        let _guard = self.runtime.enter();
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Pending => answer,
            std::task::Poll::Ready(done) => Box::pin(std::future::ready(done)),
        }
    }
}

/// The thread's own runtime: it drives one connection while somebody waits.
pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().map_err(|e| Error::Io(format!("no runtime: {e}")))
}

pub(super) type Wire = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <tokio_postgres_rustls::MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<
        tokio_postgres::Socket,
    >>::Stream,
>;

/// Connects, has `drive` see to the connection, and sets the session up.
pub(super) async fn open(place: &Place, purpose: Purpose, drive: impl FnOnce(Wire)) -> Result<Client> {
    let (client, connection) =
        place.config.connect(place.tls.clone()).await.map_err(|e| errors::connecting(&e))?;
    drive(connection);
    let set_up = match purpose {
        Purpose::Write => {
            // Who is acknowledged is on the disk; who hangs in the middle does not hold others up.
            "SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '15s'; SET statement_timeout = '60s';
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') IN ('off', 'local')"
                .to_owned()
        }
        Purpose::Read(patience) => format!(
            "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = '60s';
             SET default_transaction_read_only = on",
            patience.as_millis().max(1)
        ),
    };
    let common = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET jit = off;
                  SET default_transaction_isolation = 'read committed';";
    client.batch_execute(&format!("{common} {set_up}")).await.map_err(|e| errors::connecting(&e))?;
    Ok(client)
}
