//! A caller that writes requests by hand, so that a test can also write wrong ones, or stop in the middle.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::SURELY;

/// One connection.
pub(super) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(named).and_then(|line| Some(line.split_once(':')?.1.trim()))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    /// The status, and the last part of the problem's type.
    pub(super) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        let kind = body["type"].as_str().and_then(|t| t.strip_prefix("urn:ringheir:")).expect("a type of ours");
        (self.status, kind.to_owned())
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("it listens"), read: Vec::new() }
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("it reads");
    }

    /// A whole request.
    pub(super) async fn ask(&mut self, request: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        self.send(&format!("{request} HTTP/1.1\r\nhost: ring\r\n{headers}content-length: {length}\r\n\r\n{body}"))
            .await;
        if request.starts_with("HEAD ") { self.head().await } else { self.reply().await }
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), &[], "").await
    }

    /// An answer's head.
    pub(super) async fn head(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n").await.expect("an answer");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        Reply { status, head, body: String::new() }
    }

    /// An answer of known length.
    pub(super) async fn reply(&mut self) -> Reply {
        let mut reply = self.head().await;
        let length = reply.header("content-length").map_or(0, |l| l.parse().expect("a number"));
        while self.read.len() < length {
            assert!(self.more().await, "the body broke off: {reply:?}");
        }
        reply.body = String::from_utf8(self.read.drain(..length).collect()).expect("text");
        reply
    }

    /// The next `data:` of an event stream, or whatever line begins with `field`.
    pub(super) async fn line(&mut self, field: &str) -> Option<String> {
        loop {
            let line = self.until(b"\n").await?;
            if let Some(rest) = line.strip_prefix(field) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    /// Whether the server closed without another word.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|w| w == end) {
                let text = self.read.drain(..at + end.len()).collect();
                return Some(String::from_utf8(text).expect("text"));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = timeout(SURELY, self.stream.read(&mut buffer)).await.expect("an answer in time");
        // A server that closes before it has read everything resets the connection.
        let read = read.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..read]);
        read > 0
    }
}
