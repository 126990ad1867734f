//! The window of a link: numbers frames, keeps them until they are acknowledged, and knows what to send again.
//!
//! `LinkSender` and `LinkReceiver` make one reliable ordered stream out of connections that break, and of a network that
//! drops, repeats and reorders: a receiver takes frame k+1 only after frame k, whatever order they come in, and its answer is
//! one cumulative number. Neither knows what a frame holds. A message once pushed is never taken back: what a deposed primary
//! left in the window is still delivered, and passed over by the receiver (design section 4, fencing by arc).
//!
//! Bound: `window_bytes` of unacknowledged content; a full window refuses new work at the source, never in the middle.

use std::{collections::VecDeque, time::Duration};

use super::message::FrameHead;
use crate::{id::ViewNumber, moment::Moment};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sent<T> {
    number: u64,
    bytes: usize,
    first_sent: Moment,
    last_sent: Moment,
    content: T,
}

/// The sending end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkSender<T> {
    generation: u64,
    next: u64,
    unacked: VecDeque<Sent<T>>,
    unacked_bytes: usize,
    window_bytes: usize,
}

impl<T> LinkSender<T> {
    /// Opens a link. `generation` grows with every link this process opens to one peer.
    #[must_use]
    pub fn new(generation: u64, window_bytes: usize) -> Self {
        Self { generation, next: 1, unacked: VecDeque::new(), unacked_bytes: 0, window_bytes }
    }

    /// Whether the window takes no more, with so many bytes that wait to be pushed; new commands are refused with `Busy` before
    /// they execute.
    #[must_use]
    pub fn is_full_with(&self, gathered: usize) -> bool {
        self.unacked_bytes + gathered >= self.window_bytes
    }

    /// Bytes sent and not acknowledged.
    #[must_use]
    pub fn unacked_bytes(&self) -> usize {
        self.unacked_bytes
    }

    /// Takes content into the window and gives the head it is to be sent with, now.
    pub fn push(&mut self, content: T, bytes: usize, view: ViewNumber, now: Moment) -> FrameHead {
        let number = self.next;
        self.next += 1;
        self.unacked_bytes += bytes;
        self.unacked.push_back(Sent { number, bytes, first_sent: now, last_sent: now, content });
        FrameHead { view, generation: self.generation, number }
    }

    /// Takes a cumulative acknowledgement: what it settles, in order, and when the newest frame that it answers was *first*
    /// sent, from which a lease may be counted. `None` if it answers nothing of this link.
    pub fn handle_ack(&mut self, generation: u64, upto: u64) -> Option<(Vec<T>, Option<Moment>)> {
        if generation != self.generation || upto >= self.next {
            return None;
        }
        let mut settled = Vec::new();
        let mut sent = None;
        while self.unacked.front().is_some_and(|s| s.number <= upto)
            && let Some(first) = self.unacked.pop_front()
        {
            self.unacked_bytes -= first.bytes;
            sent = Some(first.first_sent);
            settled.push(first.content);
        }
        Some((settled, sent))
    }

    /// The frames to send again: all of them after a new connection (`after` zero), else those last sent that long ago.
    pub fn resend(&mut self, after: Duration, view: ViewNumber, now: Moment) -> Vec<(FrameHead, &T)> {
        let generation = self.generation;
        let oldest_waits = self.unacked.front().is_some_and(|s| now.since(s.last_sent) >= after);
        if !oldest_waits {
            return Vec::new();
        }
        let again = |s: &mut Sent<T>| s.last_sent = now;
        self.unacked.iter_mut().for_each(again);
        self.unacked.iter().map(|s| (FrameHead { view, generation, number: s.number }, &s.content)).collect()
    }
}

/// What a receiver does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// It is the next: store it, then `accept`.
    Next,
    /// It was stored before: acknowledge again.
    Repeated,
    /// One before it is missing: keep it until then.
    Early,
    /// It is of an older link: drop it.
    Stale,
}

/// The receiving end of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkReceiver {
    generation: u64,
    upto: u64,
}

impl LinkReceiver {
    /// Whether a frame's turn has come. A newer generation begins the link again.
    pub fn turn(&mut self, head: &FrameHead) -> Turn {
        if head.generation > self.generation {
            *self = Self { generation: head.generation, upto: 0 };
        }
        if head.generation < self.generation {
            Turn::Stale
        } else if head.number > self.upto + 1 {
            Turn::Early
        } else if head.number <= self.upto {
            Turn::Repeated
        } else {
            Turn::Next
        }
    }

    /// The frame whose turn it was is stored.
    pub fn accept(&mut self) {
        self.upto += 1;
    }

    /// Generation and number to acknowledge.
    #[must_use]
    pub fn acknowledged(&self) -> (u64, u64) {
        (self.generation, self.upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: ViewNumber = ViewNumber(1);

    #[test]
    fn frames_are_taken_once_and_in_order_whatever_the_network_does() {
        let mut sender = LinkSender::new(1, 1000);
        let mut receiver = LinkReceiver::default();
        let heads: Vec<FrameHead> = ["a", "b", "c"].map(|c| sender.push(c, 1, VIEW, Moment::START)).to_vec();
        assert_eq!(receiver.turn(&heads[1]), Turn::Early);
        assert_eq!(receiver.turn(&heads[0]), Turn::Next);
        receiver.accept();
        assert_eq!(receiver.turn(&heads[0]), Turn::Repeated);
        assert_eq!(receiver.turn(&heads[1]), Turn::Next);
        receiver.accept();
        let (settled, _) = sender.handle_ack(1, 2).expect("of this link");
        assert_eq!(settled, ["a", "b"]);
        assert_eq!(sender.unacked_bytes(), 1);
    }

    #[test]
    fn a_lease_is_counted_from_the_first_sending_of_what_was_answered() {
        let mut sender = LinkSender::new(1, 1000);
        let later = Moment::START + Duration::from_secs(1);
        sender.push("a", 1, VIEW, Moment::START);
        assert_eq!(sender.resend(Duration::from_millis(500), VIEW, later).len(), 1);
        assert_eq!(sender.handle_ack(1, 1), Some((vec!["a"], Some(Moment::START))));
    }

    #[test]
    fn an_acknowledgement_of_another_generation_or_of_the_future_settles_nothing() {
        let mut sender = LinkSender::new(2, 10);
        sender.push("a", 10, VIEW, Moment::START);
        assert!(sender.is_full_with(0));
        assert_eq!(sender.handle_ack(1, 1), None);
        assert_eq!(sender.handle_ack(2, 2), None);
        assert!(sender.is_full_with(0));
    }

    #[test]
    fn a_newer_generation_begins_again_and_an_older_one_is_dropped() {
        let mut receiver = LinkReceiver { generation: 1, upto: 7 };
        let head = |generation, number| FrameHead { view: VIEW, generation, number };
        assert_eq!(receiver.turn(&head(2, 1)), Turn::Next);
        receiver.accept();
        assert_eq!(receiver.turn(&head(1, 8)), Turn::Stale);
        assert_eq!(receiver.acknowledged(), (2, 1));
    }
}
