//! `/pickup/TOKEN/message.eml`: the message as it was written, for a mail program.

use axum::body::Body;
use bytes::Bytes;
use sealpost_pickup::Download;

use crate::answer::Answer;
use crate::cx::Cx;
use crate::problem::Problem;

/// Where.
pub const PATH: &str = "/pickup/{token}/message.eml";

/// Sends it.
pub async fn show(cx: Cx) -> Result<Answer, Problem> {
    let download = cx.app.pickup().original(cx.opened()?, &cx.client).await?;
    let size = download.size();
    Ok(Answer::download("message.eml", "message/rfc822", size, Body::from_stream(stream(download))))
}

/// A download piece by piece. It reads on only as fast as the browser takes.
pub(super) fn stream(
    download: Download,
) -> impl futures_core::Stream<Item = Result<Bytes, sealpost_pickup::Error>> {
    Pieces { download: Some(download), next: None }
}

type Next = std::pin::Pin<
    Box<dyn Future<Output = (Download, Result<Option<Vec<u8>>, sealpost_pickup::Error>)> + Send>,
>;

struct Pieces {
    download: Option<Download>,
    next: Option<Next>,
}

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, sealpost_pickup::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        if let Some(mut download) = self.download.take() {
            self.next = Some(Box::pin(async move {
                let piece = download.next().await;
                (download, piece)
            }));
        }
        let Some(next) = &mut self.next else { return std::task::Poll::Ready(None) };
        let (download, piece) = std::task::ready!(next.as_mut().poll(cx));
        self.next = None;
        std::task::Poll::Ready(match piece {
            Ok(Some(bytes)) => {
                self.download = Some(download);
                Some(Ok(bytes.into()))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }
}
