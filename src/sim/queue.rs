//! The events of a world in the order of virtual time; of one time, in the order they were scheduled.
//!
//! The heap holds only small keys and the events lie still beside it: a run pushes and pops some tens of thousands.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What is still to happen.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    places: Vec<Option<E>>,
    free: Vec<usize>,
    scheduled: u64,
}

impl<E> Queue<E> {
    /// Nothing to happen.
    pub(crate) const fn new() -> Self {
        Self { order: BinaryHeap::new(), places: Vec::new(), free: Vec::new(), scheduled: 0 }
    }

    /// Schedules an event.
    pub(crate) fn push(&mut self, at: u64, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(event);
        self.scheduled += 1;
        self.order.push(Reverse((at, self.scheduled, place)));
    }

    /// The next event, unless it is later than `until`.
    pub(crate) fn pop(&mut self, until: u64) -> Option<(u64, E)> {
        loop {
            let Reverse((at, _, place)) = *self.order.peek()?;
            if at > until {
                return None;
            }
            self.order.pop();
            self.free.push(place);
            if let Some(event) = self.places[place].take() {
                return Some((at, event));
            }
        }
    }

    /// Takes back the events that are no longer to happen.
    pub(crate) fn cancel(&mut self, no_longer: impl Fn(&E) -> bool) {
        for place in &mut self.places {
            place.take_if(|event| no_longer(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_in_the_order_they_were_scheduled() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'a'), (3, 'b'), (5, 'c'), (9, 'd')] {
            queue.push(at, event);
        }
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop(8)).collect();
        assert_eq!(popped, [(3, 'b'), (5, 'a'), (5, 'c')]);
        queue.push(1, 'e');
        assert_eq!(queue.pop(8), Some((1, 'e')));
        queue.push(2, 'f');
        queue.cancel(|event| *event == 'f');
        assert_eq!(queue.pop(9), Some((9, 'd')));
        assert_eq!(queue.pop(u64::MAX), None);
    }
}
