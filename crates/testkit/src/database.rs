//! A database of a test's own, in the throw-away PostgreSQL that `$SEALPOST_TEST_POSTGRES` names.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use postgres::{Client, Config, NoTls, config::Host};

/// A database; dropped, it is gone with all that is connected to it.
pub struct Database {
    server: Config,
    name: String,
}

impl Database {
    /// Makes an empty one. `cargo xtask test` and `cargo xtask postgres` start the server that it needs.
    pub fn create() -> Result<Database> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = crate::postgres::url().context(
            "no PostgreSQL for tests: run them by `cargo xtask test` or `cargo xtask postgres -- COMMAND`",
        )?;
        let server: Config = server.parse().context("$SEALPOST_TEST_POSTGRES")?;
        let name = format!("sealpost_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Database { server, name };
        // A run that was killed may have left one of the same name.
        database.remove()?;
        database.ask(&format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }

    /// As `[store] url` takes it: `postgres://postgres@%2Ftmp%2Fsocket:5432/NAME`.
    pub fn url(&self) -> Result<String> {
        let host = match self.server.get_hosts() {
            [Host::Unix(path)] => path.to_string_lossy().replace('%', "%25").replace('/', "%2F"),
            [Host::Tcp(name)] => name.clone(),
            _ => anyhow::bail!("$SEALPOST_TEST_POSTGRES names not one server"),
        };
        let user = self.server.get_user().unwrap_or("postgres");
        let port = self.server.get_ports().first().copied().unwrap_or(5432);
        Ok(format!("postgres://{user}@{host}:{port}/{}", self.name))
    }

    /// A connection to it, for what no client of the product would do: looking, changing, breaking.
    pub fn connect(&self) -> Result<Client> {
        let mut config = self.server.clone();
        Ok(config.dbname(&self.name).connect(NoTls)?)
    }

    /// Where the server keeps this database's files and its log, written out to the last page: for looking into them.
    pub fn folders(&self) -> Result<Vec<std::path::PathBuf>> {
        let mut client = self.connect()?;
        client.batch_execute("CHECKPOINT")?;
        let data: String = client.query_one("SHOW data_directory", &[])?.get(0);
        let ask = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()";
        let number: i64 = client.query_one(ask, &[])?.get(0);
        let data = std::path::PathBuf::from(data);
        Ok(vec![data.join("base").join(number.to_string()), data.join("pg_wal")])
    }

    /// Another database with the same content. Nobody may be connected to this one.
    pub fn copy(&self) -> Result<Database> {
        let copy = Database { server: self.server.clone(), name: format!("{}_copy", self.name) };
        copy.remove()?;
        self.ask(&format!("CREATE DATABASE {} TEMPLATE {}", copy.name, self.name))?;
        Ok(copy)
    }

    /// Puts back what `copy` has. Whoever is connected is cut off.
    pub fn restore(&self, copy: &Database) -> Result<()> {
        self.remove()?;
        self.ask(&format!("CREATE DATABASE {} TEMPLATE {}", self.name, copy.name))
    }

    /// Ends every connection to it, as a restart of the database server would.
    pub fn disconnect_all(&self) -> Result<()> {
        self.ask(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        ))
    }

    fn remove(&self) -> Result<()> {
        self.ask(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
    }

    /// Runs words in the server's own database; on a thread of its own, since a test may be inside a runtime.
    fn ask(&self, words: &str) -> Result<()> {
        let ask = || -> Result<()> {
            let mut client =
                self.server.connect(NoTls).context("no PostgreSQL at $SEALPOST_TEST_POSTGRES")?;
            Ok(client.batch_execute(words)?)
        };
        std::thread::scope(|scope| scope.spawn(ask).join().unwrap_or_else(|_| bail!("a thread panicked")))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server is thrown away in any case.
        let _ = self.remove();
    }
}
