//! `Idle`: why a step changed nothing. It is no violation, for chance may have been there first; whoever wrote the step is told.

use std::fmt;

use super::Deed;
use crate::id::NodeName;

/// Why a step did nothing to a node, or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// No process of this name runs.
    IsDown(NodeName),
    /// One runs.
    Runs(NodeName),
    /// It was stopped already.
    IsPaused(NodeName),
    /// It was not stopped.
    IsAwake(NodeName),
    /// None of those who could take the word runs.
    NobodyHears,
    /// No arc is lost.
    NothingIsLost,
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsDown(name) => write!(f, "{name} did not run"),
            Self::Runs(name) => write!(f, "{name} was running"),
            Self::IsPaused(name) => write!(f, "{name} was paused already"),
            Self::IsAwake(name) => write!(f, "{name} was not paused"),
            Self::NobodyHears => f.write_str("nobody who could do it ran"),
            Self::NothingIsLost => f.write_str("no arc was lost"),
        }
    }
}

impl Deed {
    /// Why it will do nothing, or nothing to some of those it names, given who runs, whose process is stopped, and whether any arc is
    /// lost, just before it.
    #[must_use]
    pub fn idle(
        &self,
        runs: impl Fn(NodeName) -> bool,
        is_paused: impl Fn(NodeName) -> bool,
        is_lost: bool,
    ) -> Vec<Idle> {
        let each = |names: &[NodeName], why: &dyn Fn(NodeName) -> Option<Idle>| {
            names.iter().copied().filter_map(why).collect()
        };
        let down = |name| (!runs(name)).then_some(Idle::IsDown(name));
        let running = |name| runs(name).then_some(Idle::Runs(name));
        match self {
            Self::Kill(names) | Self::PowerOff(names) | Self::Drain(names) | Self::Leave(names) => each(names, &down),
            Self::Cordon(names) | Self::Uncordon(names) | Self::HandBack(names) => each(names, &down),
            Self::Pause(names) => {
                each(names, &|name| down(name).or_else(|| is_paused(name).then_some(Idle::IsPaused(name))))
            }
            Self::Resume(names) => {
                each(names, &|name| down(name).or_else(|| (!is_paused(name)).then_some(Idle::IsAwake(name))))
            }
            Self::Join(names) => each(names, &running),
            Self::ClockRate(name, _) => each(&[*name], &down),
            Self::Dead(name) => each(&[*name], &running),
            Self::Recover(names) if !names.iter().any(|name| runs(*name)) => vec![Idle::NobodyHears],
            Self::ClearLost if !is_lost => vec![Idle::NothingIsLost],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_changes_nothing_says_why() {
        let name = |text: &str| NodeName::new(text).expect("a name");
        let (a, b, c) = (name("a"), name("b"), name("c"));
        // A runs, b is stopped, c is down.
        let idle = |deed: Deed| -> Vec<String> {
            deed.idle(|node| node != c, |node| node == b, false).iter().map(Idle::to_string).collect()
        };
        assert_eq!(idle(Deed::Kill(vec![a, c])), ["c did not run"]);
        assert_eq!(idle(Deed::Pause(vec![a, b])), ["b was paused already"]);
        assert_eq!(idle(Deed::Resume(vec![a, b, c])), ["a was not paused", "c did not run"]);
        assert_eq!(idle(Deed::Join(vec![a, c])), ["a was running"]);
        assert_eq!(idle(Deed::Dead(a)), ["a was running"]);
        assert_eq!(idle(Deed::Recover(vec![c])), ["nobody who could do it ran"]);
        assert_eq!(idle(Deed::ClearLost), ["no arc was lost"]);
        assert_eq!(idle(Deed::Restart(vec![c])), Vec::<String>::new());
    }
}
