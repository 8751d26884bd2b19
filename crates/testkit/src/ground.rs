//! What a test's server stands on: everything in its folder, or a PostgreSQL database of its own.

use anyhow::Result;

use crate::Database;

/// Where a server keeps its rows, bodies and keys. Outlives the servers on it.
#[derive(Default)]
pub struct Ground {
    /// Words for quickstart.
    words: Vec<String>,
    databases: Vec<Database>,
}

impl Ground {
    /// All in the server's own folder.
    pub fn embedded() -> Ground {
        Ground::default()
    }

    /// Rows in a PostgreSQL database; bodies and keys in the server's folder.
    pub fn postgres() -> Result<Ground> {
        let database = Database::create()?;
        Ok(Ground { words: vec!["--store".into(), database.url()?], databases: vec![database] })
    }

    /// Both, with what a report calls them.
    pub fn all() -> Result<Vec<(&'static str, Ground)>> {
        Ok(vec![("embedded", Ground::embedded()), ("PostgreSQL", Ground::postgres()?)])
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The databases besides the folder: rows first.
    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// Folders besides the server's own that hold what it wrote, as they are now on the disk.
    pub fn folders(&self) -> Result<Vec<std::path::PathBuf>> {
        let mut all = Vec::new();
        for database in &self.databases {
            all.extend(database.folders()?);
        }
        Ok(all)
    }
}
