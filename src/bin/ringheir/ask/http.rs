//! A small HTTP/1.1 client: one kept connection to one node, one request at a time.
//!
//! It is made for asking nodes of this program and for clients that must notice a dead node quickly. It knows no redirects,
//! no TLS and no chunked bodies; a node sends none of these. An answer that did not come in full within the time given is no
//! answer, and its connection is never used again, so that no late answer is taken for the next one.

use std::{fmt, io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// The longest line of a head.
const LINE_MAX: u64 = 8 << 10;
/// The most header lines.
const HEADERS_MAX: usize = 64;
/// The longest body.
const BODY_MAX: usize = 64 << 20;

/// What is asked.
pub(crate) struct Request<'a> {
    /// GET, PUT, PATCH, ...
    pub(crate) method: &'static str,
    /// With its leading `/`; already escaped.
    pub(crate) path: &'a str,
    /// Besides `Host` and what the body needs.
    pub(crate) headers: &'a [(&'static str, String)],
    /// JSON, or nothing.
    pub(crate) body: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A plain GET.
    pub(crate) const fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: &[], body: None }
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.path);
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = self.body {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            text.push_str("\r\n");
        }
        text.into_bytes()
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body, in full.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// A header's value; names are compared without regard to case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// One for tests: a status, perhaps with one header after it.
    #[cfg(test)]
    pub(crate) fn test(head: &str, body: &str) -> Self {
        let (status, header) = head.split_once(' ').unwrap_or((head, ""));
        let headers = header.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let status = status.parse().expect("a status");
        Self { status, headers: headers.into_iter().collect(), body: body.as_bytes().to_vec() }
    }

    /// Whether the connection may carry another request.
    fn keeps_alive(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Why there is no answer. The request may have been executed unless nobody listened.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// Nobody listens there, or the address is none: the request was not sent.
    Connect(io::Error),
    /// The connection broke.
    Broken(io::Error),
    /// Time ran out.
    TimedOut(Duration),
    /// Whoever answers does not speak HTTP/1.1 as this client does.
    Malformed(&'static str),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::TimedOut(after) => write!(f, "no answer within {after:?}"),
            Self::Malformed(what) => write!(f, "not the HTTP of a node: {what}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// A node's HTTP address, and the connection to it that is kept between requests.
pub(crate) struct Peer {
    address: String,
    idle: Option<BufReader<TcpStream>>,
}

impl Peer {
    /// A node at `host:port`; nothing is dialled yet.
    pub(crate) fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), idle: None }
    }

    /// Sends one request and waits for the whole answer, connecting included, at most `within`.
    pub(crate) async fn ask(&mut self, request: &Request<'_>, within: Duration) -> Result<Response, HttpError> {
        timeout(within, self.exchange(request)).await.unwrap_or(Err(HttpError::TimedOut(within)))
    }

    /// The connection is taken out while it is in use: an exchange that is given up half-way leaves none behind.
    async fn exchange(&mut self, request: &Request<'_>) -> Result<Response, HttpError> {
        let mut connection = match self.idle.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(&self.address).await.map_err(HttpError::Connect)?;
                stream.set_nodelay(true).map_err(HttpError::Connect)?;
                BufReader::new(stream)
            }
        };
        connection.get_mut().write_all(&request.bytes(&self.address)).await.map_err(HttpError::Broken)?;
        let response = read_response(&mut connection).await?;
        if response.keeps_alive() {
            self.idle = Some(connection);
        }
        Ok(response)
    }
}

async fn read_line(connection: &mut BufReader<TcpStream>) -> Result<String, HttpError> {
    let mut line = Vec::new();
    (&mut *connection).take(LINE_MAX).read_until(b'\n', &mut line).await.map_err(HttpError::Broken)?;
    if line.is_empty() {
        return Err(HttpError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    if line.pop() != Some(b'\n') {
        return Err(HttpError::Malformed("a line that does not end"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| HttpError::Malformed("a head that is not text"))
}

async fn read_response(connection: &mut BufReader<TcpStream>) -> Result<Response, HttpError> {
    let line = read_line(connection).await?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or(HttpError::Malformed("no status line"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection).await?;
        if line.is_empty() {
            break;
        }
        if headers.len() == HEADERS_MAX {
            return Err(HttpError::Malformed("too many headers"));
        }
        let (name, value) = line.split_once(':').ok_or(HttpError::Malformed("a header without a colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if matches!(status, 204 | 304) {
        return Ok(response);
    }
    let length = response.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or(HttpError::Malformed("a body without a length"))?;
    if length > BODY_MAX {
        return Err(HttpError::Malformed("a body too long to read"));
    }
    response.body = vec![0; length];
    connection.read_exact(&mut response.body).await.map_err(HttpError::Broken)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    /// Answers each request of the first connections with the next of `answers`; an empty one is never given.
    async fn server(answers: Vec<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        break;
                    }
                    if line != "\r\n" {
                        continue;
                    }
                    let Some(answer) = answers.next() else { return };
                    if answer.is_empty() {
                        kept.push(stream);
                        break;
                    }
                    stream.get_mut().write_all(answer.as_bytes()).await.expect("the client reads");
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_come_in_order_over_one_connection() {
        let address = server(vec![
            "HTTP/1.1 200 OK\r\nETag: \"7\"\r\ncontent-length: 2\r\n\r\nhi",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        ])
        .await;
        let mut peer = Peer::new(address);
        let first = peer.ask(&Request::get("/"), LONG).await.expect("answered");
        assert_eq!((first.status, first.header("etag"), first.body.as_slice()), (200, Some("\"7\""), &b"hi"[..]));
        assert!(peer.idle.is_some());
        assert_eq!(peer.ask(&Request::get("/"), LONG).await.expect("answered").status, 204);
        assert_eq!(peer.ask(&Request::get("/"), LONG).await.expect("answered").status, 503);
    }

    #[tokio::test]
    async fn after_a_timeout_the_next_request_takes_a_new_connection() {
        let address = server(vec!["", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
        let mut peer = Peer::new(address);
        let none = peer.ask(&Request::get("/"), Duration::from_millis(50)).await;
        assert!(matches!(none, Err(HttpError::TimedOut(_))), "{none:?}");
        assert!(peer.idle.is_none());
        assert_eq!(peer.ask(&Request::get("/"), LONG).await.expect("answered").status, 200);
    }

    #[tokio::test]
    async fn what_is_not_http_and_what_is_cut_short_is_no_answer() {
        let mut peer = Peer::new(server(vec!["+OK\r\n"]).await);
        assert!(matches!(peer.ask(&Request::get("/"), LONG).await, Err(HttpError::Malformed(_))));
        let mut peer = Peer::new(server(vec!["HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]).await);
        assert!(matches!(peer.ask(&Request::get("/"), LONG).await, Err(HttpError::Malformed(_))));
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let mut peer = Peer::new(nobody.to_string());
        assert!(matches!(peer.ask(&Request::get("/"), LONG).await, Err(HttpError::Connect(_))));
    }
}
