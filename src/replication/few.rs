//! `Few`: a map of the few peers that an arc, or a worker, has to do with.
//!
//! It is looked through from its front: with two or three entries that costs less than a search, and the first two need no
//! allocation, which matters where one is entered and taken out with every commit. The order is that of the keys, so that two with
//! the same content are equal.

use smallvec::SmallVec;

/// A map of few entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Few<K, V> {
    entries: SmallVec<[(K, V); 2]>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn place(&self, key: &K) -> Option<usize> {
        self.entries.iter().position(|(of, _)| of == key)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.place(key).map(|at| &self.entries[at].1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).map(|at| &mut self.entries[at].1)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_some()
    }

    /// What is there, or what `make` makes now.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = self.place(&key).unwrap_or_else(|| {
            let at = self.entries.iter().take_while(|(of, _)| *of < key).count();
            self.entries.insert(at, (key, make()));
            at
        });
        &mut self.entries[at].1
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.get_mut(&key) {
            Some(there) => *there = value,
            None => {
                self.get_or_insert_with(key, || value);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.place(key).map(|at| self.entries.remove(at).1)
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&K, &V) -> bool) {
        self.entries.retain(|(key, value)| stays(key, value));
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut few = Self::default();
        entries.into_iter().for_each(|(key, value)| few.insert(key, value));
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_is_found_and_the_order_in_which_it_was_does_not_show() {
        let mut few: Few<u8, &str> = [(3, "c"), (1, "a"), (2, "b"), (1, "z")].into_iter().collect();
        assert_eq!(few, [(1, "z"), (2, "b"), (3, "c")].into_iter().collect());
        assert_eq!((few.get(&2), few.get(&4), few.contains_key(&3)), (Some(&"b"), None, true));
        assert_eq!(*few.get_or_insert_with(0, || "new"), "new");
        assert_eq!(*few.get_or_insert_with(0, || "newer"), "new");
        assert_eq!((few.remove(&2), few.remove(&2)), (Some("b"), None));
        few.retain(|key, _| *key != 3);
        assert_eq!(few.values().copied().collect::<Vec<_>>(), ["new", "z"]);
        assert_eq!(few.keys().copied().collect::<Vec<_>>(), [0, 1]);
        few.iter_mut().for_each(|(_, value)| *value = "all");
        assert_eq!(few.get_mut(&1).copied(), Some("all"));
    }
}
