//! `Talk`: one connection over the Redis protocol, for questions whose answers are plain; and `Doors`: where one may write.
//!
//! It reads lines, numbers, short texts and lists of such, and takes all else for a broken connection. Nothing here waits
//! longer than its caller does, but for a connection that is opened.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// On loopback a connection is there at once or not at all.
const OPEN_WITHIN: Duration = Duration::from_secs(1);
/// The longest list that a sentinel tells.
const LIST_MAX: usize = 256;
/// As which the sentinels know the primary.
pub(super) const WATCHED: &str = "bench";

/// What a server says to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+…`
    Status,
    /// `:…`
    Number(u64),
    /// `-…`, its first word.
    Error(String),
    /// A text, or that there is none.
    Text(Option<String>),
    /// A list, its texts and numbers as texts, those of lists within it among them.
    List(Vec<String>),
}

/// A command as it is sent.
pub(super) fn command(words: &[impl AsRef<str>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        let word = word.as_ref();
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    bytes.into_bytes()
}

fn odd() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// See the module.
pub(super) struct Talk(BufReader<TcpStream>);

impl Talk {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(OPEN_WITHIN, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends commands.
    pub(super) async fn say(&mut self, commands: &[u8]) -> io::Result<()> {
        self.0.write_all(commands).await
    }

    /// Sends one command and waits for its reply.
    pub(super) async fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.say(&command(words)).await?;
        self.reply().await
    }

    /// The next reply.
    pub(super) async fn reply(&mut self) -> io::Result<Reply> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(odd)?;
        Ok(match kind {
            "+" => Reply::Status,
            ":" => Reply::Number(rest.parse().map_err(|_| odd())?),
            "-" => Reply::Error(rest.split(' ').next().unwrap_or_default().to_owned()),
            "$" => Reply::Text(self.text(rest).await?),
            "*" => Reply::List(self.list(rest).await?),
            _ => return Err(odd()),
        })
    }

    /// So many of a list, and those of the lists within it.
    async fn list(&mut self, count: &str) -> io::Result<Vec<String>> {
        let within = |count: &str| count.parse::<usize>().ok().filter(|count| *count <= LIST_MAX).ok_or_else(odd);
        let (mut left, mut list): (usize, Vec<String>) = (within(count)?, Vec::new());
        while left > 0 {
            left -= 1;
            let line = self.line().await?;
            match line.split_at_checked(1).ok_or_else(odd)? {
                ("*", count) => left += within(count)?,
                ("$", length) => list.push(self.text(length).await?.unwrap_or_default()),
                (":", number) => list.push(number.to_owned()),
                _ => return Err(odd()),
            }
            if left + list.len() > LIST_MAX {
                return Err(odd());
            }
        }
        Ok(list)
    }

    /// What stands behind a length. No text here has a line's end in it.
    async fn text(&mut self, length: &str) -> io::Result<Option<String>> {
        if length == "-1" { Ok(None) } else { Ok(Some(self.line().await?)) }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await?;
        let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        String::from_utf8(line.to_vec()).map_err(|_| odd())
    }
}

/// Where a client may write.
#[derive(Clone, Debug)]
pub(super) enum Doors {
    /// Any of these takes any key.
    Any(Vec<SocketAddr>),
    /// Whom the sentinels call the primary.
    Told {
        /// The sentinels.
        sentinels: Vec<SocketAddr>,
        /// Where a server itself listens, by the port under which the sentinels know it.
        servers: BTreeMap<u16, SocketAddr>,
    },
}

impl Doors {
    /// Connects to one, and says to which. Whoever fails tries the next turn.
    pub(super) async fn open(&self, turn: usize) -> io::Result<(u16, Talk)> {
        match self {
            Self::Any(doors) => {
                let door = doors[turn % doors.len()];
                Ok((door.port(), Talk::open(door).await?))
            }
            Self::Told { sentinels, servers } => {
                let mut sentinel = Talk::open(sentinels[turn % sentinels.len()]).await?;
                let told = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", WATCHED]).await?;
                let Reply::List(told) = told else { return Err(odd()) };
                let port = told.get(1).and_then(|port| port.parse::<u16>().ok());
                let server = *port.and_then(|port| servers.get(&port)).ok_or_else(odd)?;
                let mut talk = Talk::open(server).await?;
                // As its documentation asks of clients: what a sentinel says may be old.
                match talk.ask(&["ROLE"]).await? {
                    Reply::List(role) if role.first().is_some_and(|role| role == "master") => Ok((server.port(), talk)),
                    _ => Err(io::ErrorKind::NotConnected.into()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    /// One who is asked once and says this.
    async fn asked(says: &'static str) -> io::Result<Reply> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let mut talk = Talk::open(listener.local_addr().expect("bound")).await.expect("somebody listens");
        let (mut server, _) = listener.accept().await.expect("a connection");
        talk.say(&command(&["ROLE"])).await.expect("open");
        let mut heard = [0; 14];
        server.read_exact(&mut heard).await.expect("all of it");
        assert_eq!(&heard, b"*1\r\n$4\r\nROLE\r\n");
        server.write_all(says.as_bytes()).await.expect("open");
        drop(server);
        talk.reply().await
    }

    #[tokio::test]
    async fn replies_are_read_as_redis_writes_them() {
        let role = "*3\r\n$6\r\nmaster\r\n:42\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n$2\r\n42\r\n";
        let list = ["master", "42", "127.0.0.1", "7001", "42"].map(str::to_owned);
        assert_eq!(asked(role).await.expect("a role"), Reply::List(list.to_vec()));
        assert_eq!(asked("-READONLY You can't\r\n").await.expect("a word"), Reply::Error("READONLY".to_owned()));
        assert_eq!(asked("$-1\r\n").await.expect("a word"), Reply::Text(None));
        assert_eq!(asked("$2\r\n17\r\n").await.expect("a word"), Reply::Text(Some("17".to_owned())));
        assert_eq!(asked(":17\r\n").await.expect("a word"), Reply::Number(17));
    }

    #[tokio::test]
    async fn half_a_reply_is_none_and_no_list_is_endless() {
        for odd in ["+O", ":1", "$5\r\n", "*2\r\n:1\r\n", "", "\r\n", "*999999999\r\n", "*1\r\n*256\r\n*256\r\n"] {
            assert!(asked(odd).await.is_err(), "{odd:?}");
        }
    }
}
