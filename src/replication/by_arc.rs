//! `ByArc`: what a host has of each arc, found at once by the arc's number.
//!
//! Arcs are numbered from 0, and a host has a part in many of them: a place for each number costs less than a search for each
//! message.

use std::ops::RangeFrom;

use crate::id::ArcId;

/// A table by arc. Two with the same content are equal and have one hash, whatever was in them before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ByArc<T> {
    /// The last one is never empty.
    places: Vec<Option<T>>,
}

impl<T> Default for ByArc<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T> ByArc<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn get(&self, arc: ArcId) -> Option<&T> {
        self.places.get(usize::from(arc.0))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, arc: ArcId) -> Option<&mut T> {
        self.places.get_mut(usize::from(arc.0))?.as_mut()
    }

    pub(super) fn insert(&mut self, arc: ArcId, of: T) {
        let at = usize::from(arc.0);
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        self.places[at] = Some(of);
    }

    pub(super) fn remove(&mut self, arc: ArcId) -> Option<T> {
        let removed = self.places.get_mut(usize::from(arc.0))?.take();
        while let Some(None) = self.places.last() {
            self.places.pop();
        }
        removed
    }

    /// All, in the order of their arcs.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ArcId, &T)> {
        (0..).zip(&self.places).filter_map(|(arc, of)| Some((ArcId(arc), of.as_ref()?)))
    }

    /// The same, to change them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ArcId, &mut T)> {
        self.range_mut(ArcId(0)..)
    }

    /// Those from an arc on.
    pub(super) fn range_mut(&mut self, from: RangeFrom<ArcId>) -> impl Iterator<Item = (ArcId, &mut T)> {
        let first = from.start.0;
        (first..)
            .zip(self.places.iter_mut().skip(usize::from(first)))
            .filter_map(|(arc, of)| Some((ArcId(arc), of.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_leaves_no_trace() {
        let mut table = ByArc::default();
        table.insert(ArcId(2), "two");
        let before = table.clone();
        table.insert(ArcId(700), "far");
        assert_eq!(table.remove(ArcId(700)), Some("far"));
        assert_eq!(table.remove(ArcId(9)), None);
        assert_eq!(table, before);
        assert_eq!(table.remove(ArcId(2)), Some("two"));
        assert_eq!((table.is_empty(), table), (true, ByArc::default()));
    }

    #[test]
    fn all_come_in_the_order_of_their_arcs_from_wherever_one_begins() {
        let mut table = ByArc::default();
        [5, 1, 3].into_iter().for_each(|arc| table.insert(ArcId(arc), arc));
        assert_eq!(table.iter().map(|(arc, _)| arc.0).collect::<Vec<_>>(), [1, 3, 5]);
        table.range_mut(ArcId(2)..).for_each(|(_, of)| *of += 10);
        assert_eq!([1, 3, 5, 7].map(|arc| table.get(ArcId(arc)).copied()), [Some(1), Some(13), Some(15), None]);
    }
}
