//! Which of the things that go wrong in a failing run are needed for it to fail: the fewest that chance and patience find.
//!
//! Because every link, clock, caller and process draws from a stream of its own, a run with one fault less is the same run but
//! for what that fault did. The search is delta debugging (Zeller, Hildebrandt: *Simplifying and Isolating Failure-Inducing
//! Input*, 2002). It only chooses; how a run is made is its caller's.

/// Chooses among `0..count`. `fails` says whether a run with only these fails in the same way; it is asked `patience` times at most.
/// `progress` is told after each time how many were asked about and how many are left.
pub fn shrink(
    count: usize,
    patience: usize,
    mut fails: impl FnMut(&[usize]) -> bool,
    mut progress: impl FnMut(usize, usize),
) -> Vec<usize> {
    let mut needed: Vec<usize> = (0..count).collect();
    let (mut parts, mut asked) = (2, 0);
    while !needed.is_empty() && asked < patience {
        let size = needed.len().div_ceil(parts.min(needed.len()));
        let without = |from: usize| -> Vec<usize> {
            needed.iter().enumerate().filter(|(at, _)| !(from..from + size).contains(at)).map(|(_, n)| *n).collect()
        };
        let mut found = None;
        for from in (0..needed.len()).step_by(size) {
            if asked >= patience {
                break;
            }
            let fewer = without(from);
            asked += 1;
            let still = fails(&fewer);
            progress(asked, if still { fewer.len() } else { needed.len() });
            if still {
                found = Some(fewer);
                break;
            }
        }
        match found {
            Some(fewer) => {
                needed = fewer;
                parts = parts.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => parts *= 2,
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_found_wherever_it_stands() {
        for needed in [vec![], vec![0], vec![19], vec![3, 4], vec![0, 7, 19]] {
            let mut asked = 0;
            let found = shrink(20, 1_000, |some| needed.iter().all(|n| some.contains(n)), |_, _| asked += 1);
            assert_eq!(found, needed);
            assert!(asked < 120, "{asked} runs for {needed:?}");
        }
    }

    #[test]
    fn patience_bounds_the_search_and_what_is_found_by_then_still_fails() {
        let mut asked = 0;
        let found = shrink(64, 5, |some| some.contains(&63), |_, _| asked += 1);
        assert!(asked <= 5 && found.contains(&63));
    }
}
