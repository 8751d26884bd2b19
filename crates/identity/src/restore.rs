//! After a restore nobody is signed in: what ended since the set was made must not live again (DESIGN section 8).

use sealpost_store::{Scope, params};

use crate::{Error, Identity, schema};

impl Identity {
    /// Ends every web session and every set-up link. Answers how many sessions there were.
    ///
    /// # Errors
    /// The store's.
    pub async fn after_restore(&self) -> Result<usize, Error> {
        let ended = self
            .inner
            .store
            .write(Scope::instance(), |tx| {
                tx.execute(&schema::SETUP_LINKS_VOID, params![])?;
                Ok::<_, Error>(tx.execute(&schema::SESSIONS_VOID, params![])?)
            })
            .await?;
        Ok(ended)
    }
}
