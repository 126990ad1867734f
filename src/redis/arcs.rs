//! `Arcs`: a set of arcs, a bit for each.

use crate::id::ArcId;

/// Which arcs are in it. At most eight kilobytes, as there are at most 65,536 arcs.
#[derive(Clone, Debug, Default)]
pub(super) struct Arcs {
    words: Vec<u64>,
}

impl Arcs {
    /// Puts one in.
    pub(super) fn insert(&mut self, arc: ArcId) {
        let word = usize::from(arc.0 / 64);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (arc.0 % 64);
    }

    /// All that are in it, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ArcId> {
        let of_word = |(word, bits): (u16, &u64)| {
            let bits = *bits;
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| ArcId(word * 64 + bit))
        };
        (0..).zip(&self.words).flat_map(of_word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_once_and_in_order() {
        let mut arcs = Arcs::default();
        [700, 0, 63, 64, u16::MAX, 700].into_iter().for_each(|arc| arcs.insert(ArcId(arc)));
        assert_eq!(arcs.iter().map(|arc| arc.0).collect::<Vec<_>>(), [0, 63, 64, 700, u16::MAX]);
    }
}
