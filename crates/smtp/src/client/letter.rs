//! The message that is carried, as the client needs it.

use std::ops::Range;
use std::sync::Arc;

use sealpost_model::ReversePath;
use tokio::sync::OnceCell;

/// Bytes that can be read in ranges.
pub(crate) trait Content: Send + Sync + 'static {
    /// How many.
    fn len(&self) -> u64;

    /// Some of them, cut to the length. `None` when they can't be read; the log has said why.
    fn read(&self, range: Range<u64>) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

/// A message with its reverse-path. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Letter<C> {
    pub(crate) from: ReversePath,
    pub(crate) content: Arc<C>,
    eight_bit: Arc<OnceCell<bool>>,
}

impl<C> Clone for Letter<C> {
    fn clone(&self) -> Self {
        Self {
            from: self.from.clone(),
            content: Arc::clone(&self.content),
            eight_bit: Arc::clone(&self.eight_bit),
        }
    }
}

impl<C: Content> Letter<C> {
    pub(crate) fn new(from: ReversePath, content: C) -> Self {
        Self { from, content: Arc::new(content), eight_bit: Arc::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.content.len()
    }

    /// The piece at `start`; empty at the end.
    pub(crate) async fn piece(&self, start: u64) -> Option<Vec<u8>> {
        self.content.read(start..start.saturating_add(PIECE).min(self.len())).await
    }

    /// Whether there is a byte beyond ASCII in it (RFC 6152). Read once, and only for a peer that must know.
    pub(crate) async fn is_eight_bit(&self) -> Option<bool> {
        self.eight_bit
            .get_or_try_init(|| async {
                let mut at = 0;
                while at < self.len() {
                    let piece = self.piece(at).await.ok_or(())?;
                    if !piece.is_ascii() {
                        return Ok(true);
                    }
                    if piece.is_empty() {
                        return Err(());
                    }
                    at += piece.len() as u64;
                }
                Ok::<bool, ()>(false)
            })
            .await
            .ok()
            .copied()
    }
}

/// As much as one sealed chunk holds.
const PIECE: u64 = 256 << 10;
