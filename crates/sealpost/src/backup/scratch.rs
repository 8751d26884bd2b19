//! Work on a set that shows how far it is.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Result;
use sealpost_backup::Watcher;

use super::show::progress_line;

/// Runs file work on a thread that may block, and shows how far it is meanwhile.
pub async fn watched<T: Send + 'static>(
    work: impl FnOnce(&Watcher) -> Result<T> + Send + 'static,
) -> Result<T> {
    let watch = Arc::new(Watcher::new(None));
    let (done, ended) = mpsc::channel::<()>();
    let shown = Arc::clone(&watch);
    let painter = std::thread::spawn(move || {
        while matches!(ended.recv_timeout(Duration::from_millis(300)), Err(mpsc::RecvTimeoutError::Timeout)) {
            progress_line(&serde_json::to_value(shown.progress()).unwrap_or_default());
        }
        progress_line(&serde_json::Value::Null);
    });
    let result = tokio::task::spawn_blocking(move || work(&watch)).await;
    drop(done);
    let _ = painter.join();
    result?
}
