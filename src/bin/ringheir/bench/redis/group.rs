//! `Group`: a group of `SET`s as bytes, made once, in which keys and values are written anew.
//!
//! Callers and servers share the machine, so what is spent on making requests is taken from what is measured.

use super::load::Load;

/// Digits of a key.
const DIGITS: usize = 12;
/// Digits of what is new in a value.
const MARK: usize = 16;

/// See the module.
pub(super) struct Group {
    bytes: Vec<u8>,
    /// Where the first digits of a key stand in each set, where the value does, and how long one set is.
    key: usize,
    value: usize,
    set: usize,
    mark: usize,
}

impl Group {
    /// What one connection of a load writes.
    pub(super) fn new(load: Load) -> Self {
        let length = load.point.bytes;
        let head = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:";
        let mut set = head.to_vec();
        set.resize(head.len() + DIGITS, b'0');
        set.extend_from_slice(format!("\r\n${length}\r\n").as_bytes());
        let value = set.len();
        set.resize(value + length, b'x');
        set.extend_from_slice(b"\r\n");
        let mut bytes = set.repeat(load.point.pipeline);
        if load.waits {
            bytes.extend_from_slice(b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n");
        }
        Self { bytes, key: head.len(), value, set: set.len(), mark: MARK.min(length) }
    }

    /// Gives one of the sets its key and its value.
    pub(super) fn set(&mut self, at: usize, key: u64, value: u64) {
        let set = &mut self.bytes[at * self.set..][..self.set];
        write(&mut set[self.key..][..DIGITS], key, 10);
        write(&mut set[self.value..][..self.mark], value, 16);
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes a number in all of the room there is, its last digits if that is too little.
fn write(room: &mut [u8], mut number: u64, base: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number % base).unwrap_or(0)];
        number /= base;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::load::Point, *};

    #[test]
    fn each_set_of_a_group_has_the_key_and_the_value_that_it_was_given() {
        let point = Point { connections: 1, pipeline: 2, bytes: 18 };
        let mut group = Group::new(Load { point, keys: 9, waits: true });
        group.set(0, 7, 0xfe);
        group.set(1, 123_456_789_012, u64::MAX);
        let wanted = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$18\r\n00000000000000fexx\r\n\
                      *3\r\n$3\r\nSET\r\n$16\r\nkey:123456789012\r\n$18\r\nffffffffffffffffxx\r\n\
                      *3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n";
        assert_eq!(String::from_utf8_lossy(group.bytes()), wanted);
        let point = Point { bytes: 2, ..point };
        let mut short = Group::new(Load { point, keys: 9, waits: false });
        short.set(1, 1, 0xabc);
        assert!(String::from_utf8_lossy(short.bytes()).ends_with("key:000000000001\r\n$2\r\nbc\r\n"));
    }
}
