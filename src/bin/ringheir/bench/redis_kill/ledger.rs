//! `Ledger`: what one client was told of its writes, and what is wrong with the values that are there in the end.
//!
//! Nobody else writes its keys. It sets a few registers in turn, each value a number that it never wrote before, and counts a
//! counter up. After an outcome that nobody told it, and after the kill, it takes new keys: so nothing that is written later
//! hides what became of what was written before. All keys have one `{tag}`.
//!
//! Invariant: what it calls lost was acknowledged and is not there; what it calls applied twice is there once more than anybody
//! may explain by an acknowledgement or an unknown outcome. It asks nobody.

use std::collections::BTreeMap;

/// Registers that are set in turn. A write that is on its way at the kill is made afterwards and hides what was before it under
/// its key: the acknowledged ones before it are mostly elsewhere.
const REGISTERS: u64 = 64;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Sets one of the registers to the write's number.
    Set { register: u64 },
    /// Adds one to the counter.
    Increment,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    number: u64,
    keys: u32,
    deed: Deed,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Acknowledged, and not there.
    pub(super) lost: u64,
    /// There, beyond what was acknowledged or has an unknown outcome: applied twice, or though it was refused.
    pub(super) twice: u64,
}

impl std::ops::AddAssign for Wrong {
    fn add_assign(&mut self, more: Self) {
        self.lost += more.lost;
        self.twice += more.twice;
    }
}

/// Numbers that a register was set to.
#[derive(Debug, Default)]
struct Register {
    acknowledged: Vec<u64>,
    unknown: Vec<u64>,
}

impl Register {
    fn judge(&self, shown: u64) -> Wrong {
        let lost = self.acknowledged.iter().filter(|number| **number > shown).count() as u64;
        let known = shown == 0 || self.acknowledged.contains(&shown) || self.unknown.contains(&shown);
        Wrong { lost, twice: u64::from(!known) }
    }
}

/// What a counter must be.
#[derive(Debug, Default)]
struct Counter {
    /// As the last acknowledgement told it.
    last: u64,
    /// Increments with an unknown outcome.
    unknown: u64,
}

impl Counter {
    /// It shows this, and should show so many more than at last.
    fn judge(&self, shown: u64, more: u64) -> Wrong {
        let due = self.last + more;
        Wrong { lost: due.saturating_sub(shown), twice: shown.saturating_sub(due + self.unknown) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    tag: String,
    /// How often it took new keys.
    keys: u32,
    /// Something was not told: the next write takes new keys.
    unsure: bool,
    written: u64,
    registers: BTreeMap<(u32, u64), Register>,
    counters: BTreeMap<u32, Counter>,
    /// What replies have shown already.
    wrong: Wrong,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
}

impl Ledger {
    /// Of a client that has written nothing, whose keys have this tag.
    pub(super) fn new(tag: String) -> Self {
        Self {
            tag,
            keys: 0,
            unsure: false,
            written: 0,
            registers: BTreeMap::new(),
            counters: BTreeMap::new(),
            wrong: Wrong::default(),
            acknowledged: 0,
            refused: 0,
            unknown: 0,
        }
    }

    /// What comes next; every other one is an increment.
    pub(super) fn next(&mut self) -> Write {
        if self.unsure {
            self.take_new_keys();
        }
        self.written += 1;
        let number = self.written;
        let deed =
            if number.is_multiple_of(2) { Deed::Set { register: number / 2 % REGISTERS } } else { Deed::Increment };
        Write { number, keys: self.keys, deed }
    }

    /// From now on others are written.
    pub(super) fn take_new_keys(&mut self) {
        self.keys += 1;
        self.unsure = false;
    }

    /// As a client says it.
    pub(super) fn words(&self, write: Write) -> Vec<String> {
        let key = self.key(write.keys, write.deed);
        match write.deed {
            Deed::Set { .. } => vec!["SET".to_owned(), key, write.number.to_string()],
            Deed::Increment => vec!["INCR".to_owned(), key],
        }
    }

    fn key(&self, keys: u32, deed: Deed) -> String {
        let tag = &self.tag;
        match deed {
            Deed::Set { register } => format!("{{{tag}}}:{keys}:register:{register}"),
            Deed::Increment => format!("{{{tag}}}:{keys}:counter"),
        }
    }

    /// It was done; an increment's reply told what the counter is.
    pub(super) fn note_acknowledged(&mut self, write: Write, told: Option<u64>) {
        self.acknowledged += 1;
        match write.deed {
            Deed::Set { register } => self.register(write.keys, register).acknowledged.push(write.number),
            Deed::Increment => {
                let counter = self.counters.entry(write.keys).or_default();
                // One that is told nothing counts on.
                let told = told.unwrap_or(counter.last + 1);
                let wrong = counter.judge(told, 1);
                counter.last = told;
                self.wrong += wrong;
            }
        }
    }

    /// It was not done, in the server's own words.
    pub(super) fn note_refused(&mut self, write: Write) {
        self.refused += 1;
        // Whether that is true is looked at in the end, too.
        match write.deed {
            Deed::Set { register } => _ = self.register(write.keys, register),
            Deed::Increment => _ = self.counters.entry(write.keys).or_default(),
        }
    }

    /// Nobody can tell.
    pub(super) fn note_unknown(&mut self, write: Write) {
        self.unknown += 1;
        self.unsure = true;
        match write.deed {
            Deed::Set { register } => self.register(write.keys, register).unknown.push(write.number),
            Deed::Increment => self.counters.entry(write.keys).or_default().unknown += 1,
        }
    }

    fn register(&mut self, keys: u32, register: u64) -> &mut Register {
        self.registers.entry((keys, register)).or_default()
    }

    /// Every key that must be looked at in the end.
    pub(super) fn all_keys(&self) -> Vec<String> {
        let registers = self.registers.keys().map(|(keys, register)| (*keys, Deed::Set { register: *register }));
        let counters = self.counters.keys().map(|keys| (*keys, Deed::Increment));
        registers.chain(counters).map(|(keys, deed)| self.key(keys, deed)).collect()
    }

    /// What is wrong, with what those keys show, in their order; 0 for one that is not there.
    pub(super) fn judge(&self, shown: &[u64]) -> Wrong {
        let mut wrong = self.wrong;
        let registers = self.registers.values().zip(shown).map(|(register, shown)| register.judge(*shown));
        let shown_by_counters = shown.iter().skip(self.registers.len());
        let counters = self.counters.values().zip(shown_by_counters).map(|(counter, shown)| counter.judge(*shown, 0));
        registers.chain(counters).for_each(|more| wrong += more);
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that does what it is told, so that a test can take back or repeat some of it.
    #[derive(Default)]
    struct Store(BTreeMap<String, u64>);

    impl Store {
        fn apply(&mut self, ledger: &Ledger, write: Write) -> u64 {
            let words = ledger.words(write);
            let value = self.0.entry(words[1].clone()).or_default();
            *value = words.get(2).map_or(*value + 1, |number| number.parse().expect("a number"));
            *value
        }

        fn judged_by(&self, ledger: &Ledger) -> Wrong {
            let shown: Vec<u64> =
                ledger.all_keys().iter().map(|key| self.0.get(key).copied().unwrap_or_default()).collect();
            ledger.judge(&shown)
        }
    }

    const RIGHT: Wrong = Wrong { lost: 0, twice: 0 };

    fn acknowledge(ledger: &mut Ledger, store: &mut Store, writes: usize) {
        for _ in 0..writes {
            let write = ledger.next();
            let told = store.apply(ledger, write);
            ledger.note_acknowledged(write, Some(told));
        }
    }

    fn ledger() -> (Ledger, Store) {
        (Ledger::new("c1".to_owned()), Store::default())
    }

    #[test]
    fn a_store_that_keeps_everything_is_right_whatever_became_of_what_nobody_told() {
        for applied in [false, true] {
            let (mut ledger, mut store) = ledger();
            acknowledge(&mut ledger, &mut store, 301);
            for _ in 0..16 {
                let write = ledger.next();
                if applied {
                    store.apply(&ledger, write);
                }
                ledger.note_unknown(write);
            }
            acknowledge(&mut ledger, &mut store, 301);
            let write = ledger.next();
            ledger.note_refused(write);
            assert_eq!(store.judged_by(&ledger), RIGHT);
            assert_eq!((ledger.acknowledged, ledger.refused, ledger.unknown), (602, 1, 16));
        }
    }

    #[test]
    fn each_acknowledged_write_that_is_gone_is_found_although_the_client_went_on() {
        let (mut ledger, mut store) = ledger();
        acknowledge(&mut ledger, &mut store, 400);
        // The one that takes over has all but the last ten, and what was under way is not there.
        let mut behind = Store(store.0.clone());
        acknowledge(&mut ledger, &mut store, 10);
        for _ in 0..2 {
            let write = ledger.next();
            ledger.note_unknown(write);
        }
        acknowledge(&mut ledger, &mut behind, 500);
        assert_eq!(behind.judged_by(&ledger), Wrong { lost: 10, twice: 0 });
    }

    #[test]
    fn a_loss_is_found_where_no_connection_broke() {
        let (mut ledger, mut store) = ledger();
        acknowledge(&mut ledger, &mut store, 400);
        let mut behind = Store(store.0.clone());
        acknowledge(&mut ledger, &mut store, 6);
        // One was under way; it is answered by the one that took over.
        acknowledge(&mut ledger, &mut behind, 1);
        ledger.take_new_keys();
        acknowledge(&mut ledger, &mut behind, 500);
        assert_eq!(behind.judged_by(&ledger), Wrong { lost: 6, twice: 0 });
    }

    #[test]
    fn an_increment_that_was_applied_twice_is_found_in_its_reply_and_at_the_end() {
        let (mut ledger, mut store) = ledger();
        acknowledge(&mut ledger, &mut store, 10);
        let write = ledger.next();
        store.apply(&ledger, write);
        let told = store.apply(&ledger, write);
        ledger.note_acknowledged(write, Some(told));
        acknowledge(&mut ledger, &mut store, 10);
        assert_eq!(store.judged_by(&ledger), Wrong { lost: 0, twice: 1 });
        let write = ledger.next();
        let twice = if write.deed == Deed::Increment { write } else { ledger.next() };
        ledger.note_unknown(twice);
        store.apply(&ledger, twice);
        assert_eq!(store.judged_by(&ledger), Wrong { lost: 0, twice: 1 }, "once is what nobody told");
        store.apply(&ledger, twice);
        assert_eq!(store.judged_by(&ledger), Wrong { lost: 0, twice: 2 });
    }

    #[test]
    fn a_loss_and_a_repetition_do_not_make_up_for_each_other() {
        let (mut ledger, mut store) = ledger();
        acknowledge(&mut ledger, &mut store, 9);
        let key = ledger.key(0, Deed::Increment);
        // One increment is gone, the next is applied twice.
        *store.0.get_mut(&key).expect("counted") -= 1;
        let write = ledger.next();
        let told = store.apply(&ledger, write);
        ledger.note_acknowledged(write, Some(told));
        let write = ledger.next();
        assert_eq!(write.deed, Deed::Increment);
        let first = store.apply(&ledger, write);
        ledger.note_acknowledged(write, Some(first));
        store.apply(&ledger, write);
        assert_eq!(store.judged_by(&ledger), Wrong { lost: 1, twice: 1 });
    }

    #[test]
    fn what_was_refused_and_is_there_is_found() {
        let (mut ledger, mut store) = ledger();
        acknowledge(&mut ledger, &mut store, 10);
        for _ in 0..2 {
            let write = ledger.next();
            store.apply(&ledger, write);
            ledger.note_refused(write);
        }
        assert_eq!(store.judged_by(&ledger), Wrong { lost: 0, twice: 2 });
    }
}
