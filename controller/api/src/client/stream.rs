//! Server-sent events, one at a time.

use reqwest::Response;

use super::Error;
use crate::view::StreamEvent;

/// What changes in a sweep. Ends when the controller does: ask again from the last cursor.
#[derive(Debug)]
pub struct EventStream {
    url: String,
    response: Response,
    bytes: Vec<u8>,
}

impl EventStream {
    pub(super) fn new(url: String, response: Response) -> Self {
        Self { url, response, bytes: Vec::new() }
    }

    /// The next event with the cursor after it; none at the end.
    ///
    /// # Errors
    /// The connection broke, or the event is not known to this program.
    pub async fn next(&mut self) -> Result<Option<(String, StreamEvent)>, Error> {
        loop {
            while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.bytes.drain(..end + 2).collect();
                if let Some(found) = parse(&String::from_utf8_lossy(&event))? {
                    return Ok(Some(found));
                }
            }
            let broken = |source| Error::Broken { url: self.url.clone(), source };
            match self.response.chunk().await.map_err(broken)? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// None: a comment that keeps the connection alive.
fn parse(event: &str) -> Result<Option<(String, StreamEvent)>, Error> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let Some(data) = field("data:") else { return Ok(None) };
    let cursor = field("id:").unwrap_or_default().to_owned();
    Ok(Some((cursor, serde_json::from_str(data)?)))
}
