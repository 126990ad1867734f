//! Scenarios put together in Rust: the same as a file says, checked in the same way.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::{
    AFTER_THE_LAST, ClusterPlan, Deed, Expectation, Holds, LASTS_MAX, NODES_MAX, NodePlan, STEPS_MAX, Scenario, Step,
    Swarm, When, Work,
};
use crate::{id::NodeName, membership::Role, sim::run::is_mark};

/// What is wrong with a scenario that was put together; all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongScenario(Vec<String>);

impl fmt::Display for WrongScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for WrongScenario {}

/// A scenario in the making.
#[derive(Clone, Debug)]
pub struct ScenarioBuilder {
    scenario: Scenario,
    lasts: Option<Duration>,
    wrong: Vec<String>,
}

impl Scenario {
    /// Begins one with these nodes, in ring order; everything else is as in a file that does not say it.
    #[must_use]
    pub fn with_nodes<'n>(name: &str, nodes: impl IntoIterator<Item = &'n str>) -> ScenarioBuilder {
        let mut wrong = Vec::new();
        let mut plans = Vec::new();
        for text in nodes {
            match NodeName::new(text) {
                Some(name) => plans.push(NodePlan { name, role: Role::Host, zone: None }),
                None => wrong.push(format!("{text:?} is no name of a node")),
            }
        }
        let scenario = Self {
            name: name.to_owned(),
            about: String::new(),
            simulated_only: false,
            cluster: ClusterPlan { nodes: plans, ..ClusterPlan::default() },
            work: Work::default(),
            steps: Vec::new(),
            expects: Vec::new(),
            swarm: None,
            lasts: Duration::ZERO,
        };
        ScenarioBuilder { scenario, lasts: None, wrong }
    }
}

impl ScenarioBuilder {
    /// Two sentences: what cannot talk to what, and what must follow.
    #[must_use]
    pub fn about(mut self, about: &str) -> Self {
        about.clone_into(&mut self.scenario.about);
        self
    }

    /// Changes the nodes, and what lies between them.
    #[must_use]
    pub fn cluster(mut self, change: impl FnOnce(&mut ClusterPlan)) -> Self {
        change(&mut self.scenario.cluster);
        self
    }

    /// Changes what callers do.
    #[must_use]
    pub fn work(mut self, change: impl FnOnce(&mut Work)) -> Self {
        change(&mut self.scenario.work);
        self
    }

    /// At this time, from the beginning, this is done to the ring.
    #[must_use]
    pub fn at(mut self, at: Duration, deed: Deed) -> Self {
        self.scenario.steps.push(Step { at, deed });
        self
    }

    /// At this time, before the steps of that time, this must be so.
    #[must_use]
    pub fn expect_at(self, at: Duration, holds: Holds) -> Self {
        self.expected(When::At(at), holds)
    }

    /// When it is over, this must be so.
    #[must_use]
    pub fn expect(self, holds: Holds) -> Self {
        self.expected(When::Finally, holds)
    }

    fn expected(mut self, when: When, holds: Holds) -> Self {
        if holds.is_of_the_whole() && when != When::Finally {
            self.wrong.push(format!("`{holds}` is about the whole run: expect it in the end"));
        }
        let line = self.scenario.expects.len() + 1;
        self.scenario.expects.push(Expectation { when, holds, line });
        self
    }

    /// Besides, this goes wrong by chance.
    #[must_use]
    pub const fn swarm(mut self, swarm: Swarm) -> Self {
        self.scenario.swarm = Some(swarm);
        self
    }

    /// How long it lasts; three seconds after its last word, if this is never said.
    #[must_use]
    pub const fn lasts(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// The scenario.
    ///
    /// # Errors
    /// All that is wrong with it: names that are no node's or not unlike, times beyond its end, more of anything than there may be.
    pub fn build(mut self) -> Result<Scenario, WrongScenario> {
        let scenario = &mut self.scenario;
        scenario.steps.sort_by_key(|step| step.at);
        let last_step = scenario.steps.iter().map(|step| step.at);
        let last_look = scenario.expects.iter().filter_map(|expect| expect.when.time());
        let last = last_step.chain(last_look).chain(scenario.swarm.map(|swarm| swarm.until)).max().unwrap_or_default();
        scenario.lasts = self.lasts.unwrap_or(last + AFTER_THE_LAST);
        let mut wrong = std::mem::take(&mut self.wrong);
        let mut say = |is_wrong: bool, words: String| {
            if is_wrong {
                wrong.push(words);
            }
        };
        let (names, lasts) = (scenario.names(), scenario.lasts);
        let known: BTreeSet<NodeName> = names.iter().copied().collect();
        say(names.is_empty(), "it has no nodes".to_owned());
        say(known.len() < names.len(), "two nodes have one name".to_owned());
        say(names.len() > NODES_MAX, format!("it has {} nodes, and {NODES_MAX} are the most", names.len()));
        let parts = scenario.steps.len().max(scenario.expects.len());
        say(parts > STEPS_MAX, format!("{parts} steps or expectations, and {STEPS_MAX} are the most"));
        say(lasts > LASTS_MAX, format!("it lasts {lasts:?}, and {LASTS_MAX:?} is the longest"));
        say(last > lasts, format!("something is to be at {last:?}, and it ends at {lasts:?}"));
        let of_ends = scenario.work.persist + scenario.work.keep_end;
        say(of_ends > 1.0, "`persist` and `keep_end` are more than all writes".to_owned());
        for step in &scenario.steps {
            for name in step.deed.nodes().into_iter().filter(|name| !known.contains(name)) {
                say(true, format!("there is no node `{name}`, of which `{}` speaks", step.deed));
            }
        }
        for expect in &scenario.expects {
            let Holds::Reached(mark) = &expect.holds else { continue };
            say(!is_mark(mark), format!("no run reaches a branch `{mark}`: see `MARKS` and `OTHER_MARKS`"));
        }
        for expect in &scenario.expects {
            for name in expect.holds.nodes().into_iter().filter(|name| !known.contains(name)) {
                say(true, format!("there is no node `{name}`, of which it is expected: {}", expect.holds));
            }
        }
        if wrong.is_empty() { Ok(self.scenario) } else { Err(WrongScenario(wrong)) }
    }
}
