//! A client that writes requests by hand and reads replies as words, so that a test can also write wrong ones.

use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::SURELY;

/// One connection.
pub(super) struct Client {
    stream: TcpStream,
    read: BytesMut,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("it listens"), read: BytesMut::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("it reads");
    }

    /// Says that it says no more.
    pub(super) async fn end(&mut self) {
        self.stream.shutdown().await.expect("it is open");
    }

    /// Sends a line, and what comes back in words.
    pub(super) async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.hear().await
    }

    /// Sets a key to a value too large for a line, and what comes back in words.
    pub(super) async fn set(&mut self, key: &str, value: &str) -> String {
        let lengths = (key.len(), value.len());
        self.send(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", lengths.0, lengths.1)).await;
        self.hear().await
    }

    /// The next reply in words; "closed" if none comes any more.
    pub(super) async fn hear(&mut self) -> String {
        loop {
            if let Some((words, taken)) = words(&self.read) {
                self.read.advance(taken);
                return words;
            }
            let read = timeout(SURELY, self.stream.read_buf(&mut self.read)).await.expect("a reply in time");
            if read.unwrap_or(0) == 0 {
                return "closed".to_owned();
            }
        }
    }
}

/// The first reply in words, and the bytes it takes; `None`: it is not whole yet.
fn words(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[1..end]).expect("a line of text");
    let behind = end + 2;
    let several = |count: usize| {
        let mut at = behind;
        let mut all = Vec::new();
        for _ in 0..count {
            let (one, taken) = words(&bytes[at..])?;
            all.push(one);
            at += taken;
        }
        Some((all.join(" "), at))
    };
    let count = || line.parse().unwrap_or_else(|_| panic!("no length: {line}"));
    let within = |(words, at): (String, usize), open: &str, close: &str| (format!("{open}{words}{close}"), at);
    match bytes[0] {
        b'+' | b':' => Some((line.to_owned(), behind)),
        b'-' => Some((format!("-{line}"), behind)),
        b'_' => Some(("nil".to_owned(), behind)),
        b'$' | b'*' if line == "-1" => Some(("nil".to_owned(), behind)),
        b'$' | b'=' => {
            let length: usize = count();
            let text = bytes.get(behind..behind + length + 2)?;
            let text = String::from_utf8_lossy(&text[..length]).into_owned();
            Some((if bytes[0] == b'$' { format!("\"{text}\"") } else { text }, behind + length + 2))
        }
        b'*' => several(count()).map(|all| within(all, "[", "]")),
        b'>' => several(count()).map(|all| within(all, ">[", "]")),
        b'%' => several(count() * 2).map(|all| within(all, "{", "}")),
        other => panic!("no reply begins with {other}"),
    }
}
