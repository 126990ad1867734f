//! The least client of the Redis port: one connection, one request after the other, and the reply as a line of text.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Above what a call waits for a node that is being replaced.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one node.
pub(crate) struct Redis(BufReader<TcpStream>);

impl Redis {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Asks, and takes one reply: a string or a number as it is, `nil`, an error with its minus.
    pub(crate) fn ask(&mut self, words: &[&str]) -> String {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.0.get_mut().write_all(request.as_bytes()).expect("it takes requests");
        let head = self.line();
        match head.split_at(1) {
            ("+" | ":", told) => told.to_owned(),
            ("$", "-1") => "nil".to_owned(),
            ("$", length) => {
                let mut body = vec![0; length.parse::<usize>().expect("a length") + 2];
                self.0.read_exact(&mut body).expect("a whole reply");
                String::from_utf8_lossy(&body).trim_end_matches("\r\n").to_owned()
            }
            ("-", _) => head,
            _ => panic!("no reply of one line: {head}"),
        }
    }

    /// The same, of a reply that is a number.
    pub(crate) fn number(&mut self, words: &[&str]) -> i64 {
        let told = self.ask(words);
        told.parse().unwrap_or_else(|_| panic!("to {words:?} it is said: {told}"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    }
}
