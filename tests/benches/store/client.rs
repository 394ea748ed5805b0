//! HTTP with as little as a client can do: requests made beforehand, one connection.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// A whole request as bytes.
pub(crate) fn post(path: &str, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n", body.len());
    [request.as_bytes(), body].concat()
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP connection");
        Self { stream: BufReader::with_capacity(1 << 16, stream) }
    }

    /// Sends a request and reads the body of its answer, which must be a good one.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.get_mut().write_all(request).await.expect("it reads");
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("it answers");
        let status = line.clone();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.expect("whole headers");
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("a whole body");
        let text = || String::from_utf8_lossy(&body);
        assert!(status.starts_with("HTTP/1.1 2"), "{status}{}", text());
        body
    }
}
