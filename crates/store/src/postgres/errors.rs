//! What PostgreSQL says, as the store says it. Its texts may quote values, so they are left out.

use tokio_postgres::error::{DbError, SqlState};

use crate::Error;

/// What went wrong with `statement`.
pub(super) fn of(error: &tokio_postgres::Error, statement: &str) -> Error {
    match error.as_db_error() {
        Some(said) => said_by_server(said, statement),
        None if error.is_closed() => lost(),
        // A parameter of the wrong kind, or one too many.
        None if error.to_string().starts_with("error serializing") => {
            Error::Bug(format!("{statement}: {error}"))
        }
        None if error.to_string().starts_with("expected") => Error::Bug(format!("{statement}: {error}")),
        None => Error::Io(format!("{statement}: the connection to PostgreSQL failed")),
    }
}

/// The connection is gone.
pub(super) fn lost() -> Error {
    Error::Io("the connection to PostgreSQL was lost".into())
}

/// Why a connection could not be made.
pub(super) fn connecting(error: &tokio_postgres::Error) -> Error {
    use std::error::Error as _;
    let why = match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    Error::Database { why }
}

fn said_by_server(said: &DbError, statement: &str) -> Error {
    let state = said.code();
    let class = state.code().get(..2).unwrap_or("");
    match class {
        "23" => Error::Conflict(format!("{statement}: {}", said.constraint().unwrap_or(state.code()))),
        "53" if *state == SqlState::DISK_FULL => Error::Full,
        "40" => Error::Busy,
        "XX" if *state == SqlState::DATA_CORRUPTED || *state == SqlState::INDEX_CORRUPTED => {
            Error::Corrupt { what: "database", id: 0 }
        }
        // Names of tables and columns are ours.
        "42" => Error::Bug(format!("{statement}: {} ({})", said.message(), state.code())),
        _ if *state == SqlState::QUERY_CANCELED => Error::Slow,
        _ if *state == SqlState::LOCK_NOT_AVAILABLE => Error::Busy,
        "08" | "53" | "55" | "57" | "58" | "25" => {
            Error::Io(format!("{statement}: PostgreSQL says {}", state.code()))
        }
        // A plan that no longer fits a table: a newer node changed it. A new connection plans anew.
        "0A" => Error::Io(format!("{statement}: PostgreSQL says {}", state.code())),
        _ => Error::Bug(format!("{statement}: PostgreSQL says {}", state.code())),
    }
}
