//! Tables by numbers that this node draws itself, one after the other: spreading them is all there is to do to find them.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes such a number. Not for what a stranger chooses.
#[derive(Default)]
pub(super) struct DrawnHasher(u64);

impl Hasher for DrawnHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// For a table by such numbers.
pub(super) type ByDrawn = BuildHasherDefault<DrawnHasher>;
