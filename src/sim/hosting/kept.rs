//! `Kept`: what a simulated node stores of a session of a user's type: every command that made it, by number, and the state itself.
//!
//! The list of commands is the order in which they took effect, as whoever judges the run must know it. The user's code never sees it.

use crate::{blob::Blob, kinds::Stored, replication::Record};

/// What a list of plain values never begins with.
const MARK: [u8; 8] = [0xff; 8];

/// One command that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effected {
    /// The value that its operation wrote: no other operation has the same.
    pub(crate) value: u64,
    /// The version of the session as it found it.
    pub(crate) version: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) log: Vec<Effected>,
    pub(crate) image: Option<Blob>,
    pub(crate) events: Vec<Blob>,
    pub(crate) state_version: u32,
}

impl Kept {
    /// What a record holds; empty if there is none, or one of another kind.
    pub(crate) fn of(record: Option<&Record>) -> Self {
        record.and_then(|record| record.image.as_deref()).and_then(Self::decode).unwrap_or_default()
    }

    /// What the user's code is given.
    pub(crate) fn stored(&self) -> Stored<'_> {
        Stored { image: self.image.as_ref(), events: &self.events, state_version: self.state_version }
    }

    /// Every value that was written, in order.
    pub(crate) fn values(&self) -> Vec<u64> {
        self.log.iter().map(|effected| effected.value).collect()
    }

    pub(crate) fn encode(&self) -> Blob {
        let mut bytes = MARK.to_vec();
        let number = |bytes: &mut Vec<u8>, number: usize| bytes.extend((number as u64).to_be_bytes());
        number(&mut bytes, self.log.len());
        for Effected { value, version } in &self.log {
            bytes.extend(value.to_be_bytes());
            bytes.extend(version.to_be_bytes());
        }
        bytes.extend(self.state_version.to_be_bytes());
        let parts: Vec<&Blob> = self.image.iter().chain(&self.events).collect();
        bytes.push(u8::from(self.image.is_some()));
        number(&mut bytes, parts.len());
        for part in parts {
            number(&mut bytes, part.len());
            bytes.extend_from_slice(part);
        }
        bytes.into_iter().collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&MARK)?;
        let mut log = Vec::new();
        for _ in 0..number(&mut rest)? {
            log.push(Effected { value: number(&mut rest)?, version: number(&mut rest)? });
        }
        let (state_version, after) = rest.split_first_chunk::<4>()?;
        let (has_image, after) = after.split_first()?;
        rest = after;
        let mut parts = Vec::new();
        for _ in 0..number(&mut rest)? {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (part, after) = rest.split_at_checked(length)?;
            parts.push(Blob::from(part));
            rest = after;
        }
        let image = (*has_image == 1 && !parts.is_empty()).then(|| parts.remove(0));
        Some(Self { log, image, events: parts, state_version: u32::from_be_bytes(*state_version) })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_as_it_was_with_and_without_a_state() {
        let blob = |text: &str| Blob::from(text.as_bytes());
        let log = vec![Effected { value: 7, version: 0 }, Effected { value: u64::MAX, version: 3 }];
        for (image, events) in
            [(None, vec![]), (Some(blob("state")), vec![]), (Some(blob("")), vec![blob("e"), blob("")])]
        {
            let kept = Kept { log: log.clone(), image, events, state_version: 2 };
            assert_eq!(Kept::decode(&kept.encode()), Some(kept));
        }
        assert_eq!(Kept::decode(&7_u64.to_be_bytes()), None, "a list of plain values is something else");
    }
}
