//! The simulator's only source of chance: streams of numbers drawn from one seed, each independent by its name.
//!
//! A stream's numbers depend on the run's seed and the stream's name alone, not on what else was drawn. So a fault can be
//! taken out of a failing run (its stream falls silent) and every other link, clock and client still does what it did:
//! without that, shrinking a failure would throw another run each time.
//!
//! A seed in a bug report must give the same run next year, so the generator is written here instead of taken from a
//! crate: `fastrand` changed its numbers in a minor version (2.1.0), `rand` may change those of its ranges in one.
//! Ours is xoshiro256++ with splitmix64 to fill its state (Blackman and Vigna, "Scrambled Linear Pseudorandom
//! Number Generators", 2021; both public domain), and everything made from it uses integers, or float operations that
//! IEEE 754 fixes to the bit; no `ln`, whose last bit differs between platforms. Not for secrets or ids of real nodes.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// All the streams of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream of this name, at its beginning: asked twice, it gives the same numbers twice. So each user keeps its own
    /// stream, under a name of its own, such as `"link a->b"`.
    #[must_use]
    pub fn stream(&self, name: &str) -> Stream {
        let mut filler = xxh3_64_with_seed(name.as_bytes(), self.seed);
        // Four different fillers give four different words, so never all zero, the one state xoshiro cannot leave.
        Stream { state: std::array::from_fn(|_| splitmix64(&mut filler)) }
    }
}

/// One stream of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    state: [u64; 4],
}

impl Stream {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let bits = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        bits
    }

    /// True with this probability. Draws one number whatever the probability, so that changing it from or to 0 or 1
    /// leaves the rest of the stream in step.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits: every value below 1 that they make is exact in an f64.
        let unit = (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }

    /// A number of `low..high`, all equally likely. Draws one number; the bias, below (high - low) / 2^64, is of no
    /// interest to a simulation.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "a range to draw from has something in it");
        let scaled = (u128::from(self.bits()) * u128::from(high - low)) >> 64;
        low + u64::try_from(scaled).expect("below high - low")
    }

    /// A duration between these two, the longer excluded unless they are equal.
    ///
    /// # Panics
    /// If the first is longer than the second.
    pub fn duration(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let (low, high) = (nanos(shortest), nanos(longest));
        Duration::from_nanos(self.range(low, high.max(low.saturating_add(u64::from(low == high)))))
    }

    /// One of these, all equally likely; `None` if there are none, and then nothing is drawn.
    pub fn choose<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        if among.is_empty() {
            return None;
        }
        let index = self.range(0, among.len() as u64);
        among.get(usize::try_from(index).expect("below a length"))
    }

    /// Puts them in a random order, all equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.range(0, last as u64 + 1);
            items.swap(last, usize::try_from(other).expect("at most last"));
        }
    }

    /// A delay with this mean, exponentially distributed, cut off at `longest`: the gaps between events that do not know
    /// of each other, with the rare long one that a uniform delay would never try.
    ///
    /// By von Neumann's comparisons ("Various techniques used in connection with random digits", 1951): the fraction is
    /// accepted when a run of falling numbers that begins with it is odd, each rejection adds one mean. Exact, no `ln`.
    pub fn exponential(&mut self, mean: Duration, longest: Duration) -> Duration {
        let mut whole = 0u128;
        let fraction = loop {
            let first = self.bits();
            let (mut last, mut odd) = (first, true);
            loop {
                let next = self.bits();
                if next >= last {
                    break;
                }
                (last, odd) = (next, !odd);
            }
            if odd {
                break first;
            }
            whole += 1;
        };
        let mean = u128::from(nanos(mean));
        let delay = (mean * whole).saturating_add((mean * u128::from(fraction)) >> 64);
        Duration::from_nanos(u64::try_from(delay).unwrap_or(u64::MAX)).min(longest)
    }
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_give_the_numbers_their_authors_published() {
        let mut state = 1_234_567;
        let mixed: [u64; 3] = std::array::from_fn(|_| splitmix64(&mut state));
        assert_eq!(mixed, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let mut stream = Stream { state: [1, 2, 3, 4] };
        let bits: [u64; 5] = std::array::from_fn(|_| stream.bits());
        assert_eq!(
            bits,
            [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386, 9_228_616_714_210_784_205]
        );
    }

    #[test]
    fn the_numbers_of_a_seed_and_a_name_are_frozen() {
        let mut stream = Streams::new(42).stream("link a->b");
        let drawn = (stream.bits(), stream.range(10, 1000), stream.chance(0.5));
        let mean = Duration::from_millis(10);
        assert_eq!(
            (drawn, stream.exponential(mean, mean * 100)),
            ((15_525_345_293_067_305_323, 204, false), Duration::from_nanos(15_654_892))
        );
    }

    #[test]
    fn streams_do_not_depend_on_each_other() {
        let streams = Streams::new(7);
        let alone: Vec<u64> = {
            let mut s = streams.stream("link a->b");
            (0..100).map(|_| s.bits()).collect()
        };
        let (mut one, mut other) = (streams.stream("link a->b"), streams.stream("link b->a"));
        let beside: Vec<u64> = (0..100)
            .map(|_| {
                other.bits();
                one.bits()
            })
            .collect();
        assert_eq!(alone, beside);
        assert_ne!(one.bits(), other.bits());
        assert_ne!(Streams::new(8).stream("link a->b"), streams.stream("link a->b"));
    }

    #[test]
    fn chance_keeps_its_probability_and_always_draws_one_number() {
        let mut stream = Streams::new(1).stream("loss");
        let hits = (0..100_000).filter(|_| stream.chance(0.3)).count();
        assert!((29_000..31_000).contains(&hits), "{hits}");
        let (mut never, mut always) = (stream.clone(), stream.clone());
        assert!(!(0..100).any(|_| never.chance(0.0)) && (0..100).all(|_| always.chance(1.0)));
        assert_eq!(never, always);
    }

    #[test]
    fn range_reaches_both_ends_and_nothing_else() {
        let mut stream = Streams::new(2).stream("range");
        let mut counts = [0u32; 4];
        for _ in 0..40_000 {
            counts[usize::try_from(stream.range(10, 14) - 10).expect("below 4")] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        let second = Duration::from_secs(1);
        assert_eq!(stream.duration(second, second), second);
    }

    #[test]
    fn exponential_has_its_mean_its_tail_and_its_bound() {
        let mut stream = Streams::new(3).stream("delay");
        let (mean, longest) = (Duration::from_millis(10), Duration::from_millis(80));
        let delays: Vec<Duration> = (0..100_000).map(|_| stream.exponential(mean, longest)).collect();
        let average = delays.iter().sum::<Duration>() / 100_000;
        assert!((Duration::from_micros(9_850)..Duration::from_micros(10_150)).contains(&average), "{average:?}");
        // e^-3 of them, 4,979 in 100,000, are over three means.
        let long = delays.iter().filter(|delay| **delay > mean * 3).count();
        assert!((4_700..5_250).contains(&long), "{long}");
        assert_eq!(delays.iter().max(), Some(&longest));
    }

    #[test]
    fn shuffle_keeps_every_item_and_reaches_every_order() {
        let mut stream = Streams::new(4).stream("order");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let mut items = [1, 2, 3, 4];
            stream.shuffle(&mut items);
            seen.insert(items);
        }
        assert_eq!(seen.len(), 24);
        assert_eq!(stream.choose::<u8>(&[]), None);
        assert_eq!(stream.choose(&[5]), Some(&5));
    }
}
