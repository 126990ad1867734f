//! The least client that can ask a node: one connection for each request, closed after it.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Above what a node gives a request (its deadline is 10 s at most).
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        let headers: BTreeMap<String, String> = headers.collect();
        // An answer that was cut off is none.
        let whole = headers.get("content-length").is_none_or(|length| length.parse() == Ok(body.len()));
        whole.then(|| Self { status, headers, body: body.to_owned() })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The session's version, which is its entity tag.
    pub(crate) fn version(&self) -> u64 {
        self.header("etag").trim_matches('"').parse().unwrap_or_else(|_| panic!("no version in {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault} in {self:?}"))
    }
}

/// Asks; an error if there was no whole answer.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, io::Error> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Answer::read(&text).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Result<Answer, io::Error> {
    ask(address, "GET", path, &[], "")
}

/// The path of a JSON session.
pub(crate) fn session(id: &str) -> String {
    format!("/v1/session/json/{id}")
}
