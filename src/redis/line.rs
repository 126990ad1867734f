//! `Line`: the replies of one connection, in the order of its requests, whenever they come.
//!
//! Invariant: a reply leaves when all before it have left.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{
    commands::Tell,
    frames::{Protocol, Reply},
    keys::Said,
    refusal::Unknown,
    told,
};

/// What one part of a request came to: what the key says, or why it was not done, or that nobody can tell.
pub(super) type Came = Result<Result<Said, Reply>, Unknown>;

/// How the parts of a request are one reply.
#[derive(Clone, Debug)]
pub(super) enum Join {
    /// There is one part.
    One(Tell),
    /// Numbers are added.
    Sum,
    /// A list of them.
    List,
    /// That all were done.
    Done,
}

/// A request's place. There are as many as a client asks for at once: what most of them need lies in them, the rest beside them.
#[derive(Debug)]
enum Slot {
    /// The reply, in the protocol that was spoken when it was asked for.
    Ready(Protocol, Reply),
    /// What its one key says is still to come, and how that is told.
    One(Protocol, Tell),
    /// Parts are still to come.
    Parts(Box<Parts>),
    /// Nobody can tell: here the connection ends.
    Unknown,
    /// Here it ends, having said so.
    Last(Protocol, Reply),
}

/// The parts of one request.
#[derive(Debug)]
struct Parts {
    protocol: Protocol,
    join: Join,
    came: Vec<Option<Result<Said, Reply>>>,
    missing: usize,
    bytes: usize,
}

impl Parts {
    /// Takes what one of them came to; the reply, if that was the last, or if it is too much already.
    fn take(&mut self, part: usize, came: Result<Said, Reply>) -> Option<Reply> {
        self.bytes += came.as_ref().map_or(0, Said::size);
        self.came[part] = Some(came);
        self.missing -= 1;
        if self.missing == 0 {
            return Some(join_all(&self.join, std::mem::take(&mut self.came).into_iter().flatten()));
        }
        // Only questions to many keys tell so much, and those that are still to come change nothing.
        let words = || format!("ERR the reply has more than {LIST_MAX} bytes: ask for fewer keys at once");
        (self.bytes > LIST_MAX).then(|| Reply::error(words()))
    }
}

/// What may leave has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// More will.
    Open,
    /// No more is to be said on this connection.
    Closed,
}

/// Replies that have not left.
#[derive(Debug, Default)]
pub(super) struct Line {
    slots: VecDeque<Slot>,
    /// The number of the first of them.
    first: u64,
    /// Bytes of what has come and waits for others, about.
    bytes: usize,
}

impl Line {
    /// How many requests are not answered.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of replies that wait for others.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A request that is answered already.
    pub(super) fn ready(&mut self, protocol: Protocol, reply: Reply) {
        self.bytes += weight(&reply);
        self.slots.push_back(Slot::Ready(protocol, reply));
    }

    /// The last thing that is said.
    pub(super) fn last(&mut self, protocol: Protocol, reply: Reply) {
        self.slots.push_back(Slot::Last(protocol, reply));
    }

    /// A request of so many parts, and its number.
    pub(super) fn wait(&mut self, protocol: Protocol, join: Join, parts: usize) -> u64 {
        let number = self.first + self.slots.len() as u64;
        self.slots.push_back(match join {
            Join::One(tell) => Slot::One(protocol, tell),
            join => Slot::Parts(Box::new(Parts { protocol, join, came: vec![None; parts], missing: parts, bytes: 0 })),
        });
        number
    }

    /// A part of a request has come.
    pub(super) fn came(&mut self, (number, part): (u64, usize), came: Came) {
        let Some(slot) = number.checked_sub(self.first).and_then(|at| self.slots.get_mut(usize::try_from(at).ok()?))
        else {
            return;
        };
        let (protocol, reply) = match (&mut *slot, came) {
            (waits @ (Slot::One(..) | Slot::Parts(_)), Err(Unknown)) => {
                if let Slot::Parts(parts) = &waits {
                    self.bytes -= parts.bytes;
                }
                *waits = Slot::Unknown;
                return;
            }
            (Slot::One(protocol, tell), Ok(came)) => {
                (*protocol, came.map_or_else(|refused| refused, |said| told::told(said, tell)))
            }
            (Slot::Parts(parts), Ok(came)) => {
                let before = parts.bytes;
                let reply = parts.take(part, came);
                self.bytes += parts.bytes - before;
                let Some(reply) = reply else { return };
                self.bytes -= parts.bytes;
                (parts.protocol, reply)
            }
            _ => return,
        };
        self.bytes += weight(&reply);
        *slot = Slot::Ready(protocol, reply);
    }

    /// A request that was seen to as a whole has come.
    pub(super) fn answer(&mut self, number: u64, came: Result<Reply, Unknown>) {
        // Of one part: whatever takes the place of what the key says is the reply.
        self.came((number, 0), came.map(Err));
    }

    /// Whether something may leave.
    pub(super) fn is_ready(&self) -> bool {
        self.slots.front().is_some_and(|slot| !matches!(slot, Slot::One(..) | Slot::Parts(_)))
    }

    /// Writes what may leave, until about `max` bytes wait to be taken: what stays here shares its bytes with whoever keeps them.
    pub(super) fn settle(&mut self, to: &mut BytesMut, max: usize) -> Settled {
        while to.len() < max {
            match self.slots.pop_front() {
                None => return Settled::Open,
                Some(Slot::Ready(protocol, reply)) => {
                    self.first += 1;
                    self.bytes -= weight(&reply);
                    reply.write(protocol, to);
                }
                Some(waits @ (Slot::One(..) | Slot::Parts(_))) => {
                    self.slots.push_front(waits);
                    return Settled::Open;
                }
                Some(Slot::Unknown) => {
                    self.slots.clear();
                    return Settled::Closed;
                }
                Some(Slot::Last(protocol, reply)) => {
                    reply.write(protocol, to);
                    self.slots.clear();
                    return Settled::Closed;
                }
            }
        }
        Settled::Open
    }
}

/// One reply of several keys has at most about so many bytes.
const LIST_MAX: usize = 64 << 20;

/// Makes one reply of the parts of a request; one that was refused is the reply of all.
pub(super) fn join_all(join: &Join, mut parts: impl Iterator<Item = Result<Said, Reply>>) -> Reply {
    match join {
        Join::One(tell) => match parts.next() {
            Some(Ok(said)) => told::told(said, tell),
            Some(Err(refused)) => refused,
            None => Reply::OK,
        },
        Join::Sum => {
            let mut sum = 0;
            for part in parts {
                match part.map(told::plain) {
                    Ok(Reply::Number(number)) => sum += number,
                    Ok(other) | Err(other) => return other,
                }
            }
            Reply::Number(sum)
        }
        Join::List => {
            let list: Result<Vec<_>, Reply> = parts.map(|part| part.map(told::plain)).collect();
            list.map_or_else(|refused| refused, Reply::List)
        }
        Join::Done => parts.find_map(Result::err).unwrap_or(Reply::OK),
    }
}

/// The bytes that a reply keeps, about.
fn weight(reply: &Reply) -> usize {
    size_of::<Reply>()
        + match reply {
            Reply::Bytes(bytes) => bytes.len(),
            Reply::Text(text) => text.len(),
            Reply::List(list) | Reply::Push(list) => list.iter().map(weight).sum(),
            Reply::Map(pairs) => pairs.iter().map(|(key, value)| weight(key) + weight(value)).sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &mut Line) -> (String, Settled) {
        let mut to = BytesMut::new();
        let settled = line.settle(&mut to, usize::MAX);
        (String::from_utf8(to.to_vec()).expect("text"), settled)
    }

    #[test]
    fn replies_leave_in_the_order_of_their_requests() {
        let mut line = Line::default();
        let one = line.wait(Protocol::Two, Join::One(Tell::Plain), 1);
        line.ready(Protocol::Two, Reply::OK);
        let sum = line.wait(Protocol::Two, Join::Sum, 2);
        line.came((sum, 1), Ok(Ok(Said::Number(2))));
        assert_eq!(written(&mut line), (String::new(), Settled::Open));
        line.came((one, 0), Ok(Ok(Said::Nothing)));
        assert_eq!(written(&mut line), ("$-1\r\n+OK\r\n".to_owned(), Settled::Open));
        line.came((sum, 0), Ok(Ok(Said::Number(3))));
        assert_eq!(written(&mut line), (":5\r\n".to_owned(), Settled::Open));
        assert!(line.is_empty() && line.bytes() == 0);
    }

    #[test]
    fn where_nobody_can_tell_what_stands_before_is_said_and_nothing_after() {
        let mut line = Line::default();
        line.ready(Protocol::Two, Reply::OK);
        let lost = line.wait(Protocol::Two, Join::One(Tell::Plain), 1);
        let after = line.wait(Protocol::Two, Join::One(Tell::Plain), 1);
        line.came((after, 0), Ok(Ok(Said::Done)));
        line.came((lost, 0), Err(Unknown));
        assert_eq!(written(&mut line), ("+OK\r\n".to_owned(), Settled::Closed));
        line.came((after, 0), Ok(Ok(Said::Done)));
        assert_eq!(written(&mut line).0, "");
    }

    #[test]
    fn parts_are_counted_while_they_wait_and_a_list_without_end_is_not_made() {
        let mut line = Line::default();
        let value = bytes::Bytes::from(vec![b'x'; LIST_MAX / 4]);
        let first = line.wait(Protocol::Two, Join::One(Tell::Plain), 1);
        let list = line.wait(Protocol::Two, Join::List, 1_000);
        for part in 0..1_000 {
            line.came((list, part), Ok(Ok(Said::Bytes(value.clone()))));
            assert!(line.bytes() <= 2 * LIST_MAX, "{}", line.bytes());
            assert!(part > 0 || line.bytes() >= value.len());
        }
        line.came((first, 0), Ok(Ok(Said::Done)));
        let (told, settled) = written(&mut line);
        assert!(told.starts_with("+OK\r\n-ERR the reply has more than"), "{told}");
        assert_eq!((settled, line.bytes(), line.len()), (Settled::Open, 0, 0));
    }

    #[test]
    fn one_part_that_was_refused_is_the_reply_of_all() {
        let mut line = Line::default();
        let list = line.wait(Protocol::Two, Join::List, 2);
        line.came((list, 0), Ok(Ok(Said::Nothing)));
        line.came((list, 1), Ok(Err(Reply::error("BUSY so"))));
        assert_eq!(written(&mut line).0, "-BUSY so\r\n");
    }
}
