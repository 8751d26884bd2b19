//! IDLE (RFC 2177): news are told as they happen.

use crate::session::reply::{End, Halt, Reply};
use crate::session::{Session, news};

pub(in crate::session) async fn idle(s: &mut Session) -> Result<Reply, Halt> {
    s.person()?;
    s.link.w.raw("+ You will be told\r\n");
    loop {
        news::tell(s, true).await?;
        let Session { link, person: Some(person), .. } = s else { return Err(End::Closed.into()) };
        if let Some(line) = link.framer.exchange_line(100) {
            return match line {
                Ok(line) if line.eq_ignore_ascii_case(b"DONE") => Ok(Reply::ok("IDLE completed")),
                _ => Err(Reply::bad("IDLE ends with DONE").into()),
            };
        }
        tokio::select! {
            received = link.receive() => received?,
            () = person.watch.changed(), if person.selected.is_some() => person.stale = true,
        }
    }
}
