//! The plan of a demo: which node is killed, hung or started again, and when.
//!
//! Reads the flags and refuses what cannot be done before anything runs: unknown nodes, killing the dead, starting the
//! living. Does nothing itself.

use std::{fmt, str::FromStr, time::Duration};

/// How long a hang lasts unless it is said.
const HANG: Duration = Duration::from_secs(5);

/// One flag: `a@5s`, or `c@12s+3s` where it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    node: String,
    at: Duration,
    lasts: Option<Duration>,
}

/// A flag that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlagFault;

impl fmt::Display for FlagFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write it as NODE@TIME, as in a@5s or b@1500ms; a hang may say how long: c@12s+3s")
    }
}

impl std::error::Error for FlagFault {}

fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * unit).ok()
}

impl FromStr for Flag {
    type Err = FlagFault;

    fn from_str(text: &str) -> Result<Self, FlagFault> {
        let (node, rest) = text.split_once('@').ok_or(FlagFault)?;
        let (at, lasts) = match rest.split_once('+') {
            Some((at, lasts)) => (at, Some(duration(lasts).ok_or(FlagFault)?)),
            None => (rest, None),
        };
        let at = duration(at).ok_or(FlagFault)?;
        if node.is_empty() { Err(FlagFault) } else { Ok(Self { node: node.to_owned(), at, lasts }) }
    }
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// SIGKILL.
    Kill,
    /// SIGCONT, the end of a hang.
    Resume,
    /// A new process under the name.
    Restart,
    /// SIGSTOP.
    Hang,
}

impl Deed {
    /// The word for it in progress and JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Hang => "hang",
        }
    }

    /// Whether it takes a node away.
    pub(crate) const fn takes_away(self) -> bool {
        matches!(self, Self::Kill | Self::Hang)
    }
}

/// One step of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// After the clients began.
    pub(crate) at: Duration,
    /// What.
    pub(crate) deed: Deed,
    /// To whom.
    pub(crate) node: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{}s", self.deed.word(), self.node, self.at.as_secs_f64())
    }
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlanFault {
    /// No node has that name; these exist.
    NoSuchNode { step: Step, nodes: Vec<String> },
    /// It would come after the end.
    TooLate(Step),
    /// The node is dead by then.
    AlreadyDead(Step),
    /// The node is running by then.
    NotDead(Step),
    /// The node is hung by then.
    AlreadyHung(Step),
    /// Only a hang lasts.
    LastsNot(Flag),
    /// A hang that ends as it begins.
    NoTime(Flag),
    /// It would end long after everything else.
    EndsTooLate(Step),
    /// No node would be left to serve.
    NobodyLeft(Step),
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchNode { step, nodes } => {
                write!(f, "{step}: there is no node {}; there are {}", step.node, nodes.join(", "))
            }
            Self::TooLate(step) => write!(f, "{step}: the run is over by then; give it more --seconds"),
            Self::AlreadyDead(step) => write!(f, "{step}: {} was killed before; --restart it first", step.node),
            Self::NotDead(step) => {
                write!(f, "{step}: {} is running then; only a killed node can be restarted", step.node)
            }
            Self::AlreadyHung(step) => write!(f, "{step}: {} is hung then already", step.node),
            Self::LastsNot(flag) => write!(f, "{}: only a hang can say how long it lasts", flag.node),
            Self::NoTime(flag) => write!(f, "{}: a hang of no time is none", flag.node),
            Self::EndsTooLate(step) => {
                write!(f, "{step}: more than {} s after the run; give it more --seconds", HANG.as_secs())
            }
            Self::NobodyLeft(step) => write!(f, "{step}: nobody would be left; restart another node before"),
        }
    }
}

impl std::error::Error for PlanFault {}

/// The steps in the order of their times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<Step>);

impl Plan {
    /// Orders the flags and checks that each can be done.
    pub(crate) fn new(
        nodes: &[String],
        run_for: Duration,
        kills: &[Flag],
        hangs: &[Flag],
        restarts: &[Flag],
    ) -> Result<Self, PlanFault> {
        if let Some(flag) = kills.iter().chain(restarts).find(|flag| flag.lasts.is_some()) {
            return Err(PlanFault::LastsNot(flag.clone()));
        }
        let step = |deed: Deed| move |flag: &Flag| Step { at: flag.at, deed, node: flag.node.clone() };
        let mut steps: Vec<Step> = kills.iter().map(step(Deed::Kill)).collect();
        steps.extend(restarts.iter().map(step(Deed::Restart)));
        for flag in hangs {
            steps.push(step(Deed::Hang)(flag));
            let at = flag.at + flag.lasts.unwrap_or(HANG);
            steps.push(Step { at, deed: Deed::Resume, node: flag.node.clone() });
        }
        if let Some(flag) = hangs.iter().find(|flag| flag.lasts.is_some_and(|lasts| lasts.is_zero())) {
            return Err(PlanFault::NoTime(flag.clone()));
        }
        steps.sort_by(|a, b| (a.at, a.deed, &a.node).cmp(&(b.at, b.deed, &b.node)));
        check(nodes, run_for, &steps)?;
        Ok(Self(steps))
    }

    /// What happens when nobody asks for anything: the first node is killed at a quarter and comes back at half time.
    pub(crate) fn usual(nodes: &[String], run_for: Duration) -> Self {
        let step = |part: u32, deed| Step { at: run_for * part / 4, deed, node: nodes[0].clone() };
        Self(if nodes.len() > 1 { vec![step(1, Deed::Kill), step(2, Deed::Restart)] } else { Vec::new() })
    }

    /// The steps.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }
}

fn check(nodes: &[String], run_for: Duration, steps: &[Step]) -> Result<(), PlanFault> {
    let mut dead: Vec<&str> = Vec::new();
    let mut hung: Vec<&str> = Vec::new();
    for step in steps {
        let node = step.node.as_str();
        if !nodes.contains(&step.node) {
            return Err(PlanFault::NoSuchNode { step: step.clone(), nodes: nodes.to_vec() });
        }
        // The end of a hang may come a little after the end of the run: it is then waited for.
        if step.at >= run_for && step.deed != Deed::Resume {
            return Err(PlanFault::TooLate(step.clone()));
        }
        if step.at > run_for + HANG {
            return Err(PlanFault::EndsTooLate(step.clone()));
        }
        let is_dead = dead.contains(&node);
        match step.deed {
            Deed::Kill | Deed::Hang if is_dead => return Err(PlanFault::AlreadyDead(step.clone())),
            Deed::Hang if hung.contains(&node) => return Err(PlanFault::AlreadyHung(step.clone())),
            Deed::Restart if !is_dead => return Err(PlanFault::NotDead(step.clone())),
            Deed::Kill => {
                hung.retain(|other| *other != node);
                dead.push(node);
            }
            Deed::Hang => hung.push(node),
            Deed::Resume => hung.retain(|other| *other != node),
            Deed::Restart => dead.retain(|other| *other != node),
        }
        if dead.len() + hung.len() >= nodes.len() {
            return Err(PlanFault::NobodyLeft(step.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Duration = Duration::from_secs(20);

    fn flags(texts: &[&str]) -> Vec<Flag> {
        texts.iter().map(|text| text.parse().expect("a flag")).collect()
    }

    fn plan(kills: &[&str], hangs: &[&str], restarts: &[&str]) -> Result<Plan, PlanFault> {
        let nodes = ["a", "b", "c"].map(str::to_owned);
        Plan::new(&nodes, RUN, &flags(kills), &flags(hangs), &flags(restarts))
    }

    fn told(plan: &Plan) -> Vec<String> {
        plan.steps().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn flags_say_node_time_and_how_long() {
        let read = |text: &str| text.parse::<Flag>();
        let flag = |node: &str, at, lasts: Option<u64>| {
            Ok(Flag { node: node.to_owned(), at: Duration::from_millis(at), lasts: lasts.map(Duration::from_millis) })
        };
        assert_eq!(read("a@5s"), flag("a", 5000, None));
        assert_eq!(read("node-1@1500ms"), flag("node-1", 1500, None));
        assert_eq!(read("c@0.5s+3s"), flag("c", 500, Some(3000)));
        assert_eq!(read("c@1m"), flag("c", 60_000, None));
        for wrong in ["", "a", "a@", "@5s", "a@5", "a@s", "a@-1s", "a@5h", "a@5s+", "a@5s+x", "a@infs", "a@nans"] {
            assert_eq!(read(wrong), Err(FlagFault), "{wrong:?}");
        }
    }

    #[test]
    fn steps_are_in_order_and_a_hang_ends() {
        let plan = plan(&["a@5s"], &["b@12s", "c@1s+2s"], &["a@8s"]).expect("can be done");
        assert_eq!(
            told(&plan),
            ["hang c@1s", "resume c@3s", "kill a@5s", "restart a@8s", "hang b@12s", "resume b@17s"]
        );
    }

    #[test]
    fn without_flags_the_first_node_dies_at_a_quarter_and_returns_at_half_time() {
        let nodes = ["a", "b"].map(str::to_owned);
        assert_eq!(told(&Plan::usual(&nodes, RUN)), ["kill a@5s", "restart a@10s"]);
        assert_eq!(told(&Plan::usual(&nodes[..1], RUN)), [""; 0]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_before_the_run() {
        use PlanFault as P;
        assert!(matches!(plan(&["x@5s"], &[], &[]), Err(P::NoSuchNode { .. })));
        assert!(matches!(plan(&["a@20s"], &[], &[]), Err(P::TooLate(_))));
        assert!(matches!(plan(&["a@5s", "a@6s"], &[], &[]), Err(P::AlreadyDead(_))));
        assert!(matches!(plan(&["a@5s"], &["a@6s"], &[]), Err(P::AlreadyDead(_))));
        assert!(matches!(plan(&[], &["a@5s", "a@6s"], &[]), Err(P::AlreadyHung(_))));
        assert!(matches!(plan(&[], &[], &["a@6s"]), Err(P::NotDead(_))));
        assert!(matches!(plan(&[], &["a@1s+0s"], &[]), Err(P::NoTime(_))));
        assert!(matches!(plan(&[], &["a@18s+8s"], &[]), Err(P::EndsTooLate(_))));
        assert!(plan(&[], &["a@18s+7s"], &[]).is_ok());
        assert!(plan(&["a@1s"], &[], &["a@1s"]).is_ok_and(|plan| told(&plan) == ["kill a@1s", "restart a@1s"]));
        assert!(matches!(plan(&["a@5s+1s"], &[], &[]), Err(P::LastsNot(_))));
        assert!(matches!(plan(&["a@5s", "b@6s", "c@7s"], &[], &[]), Err(P::NobodyLeft(_))));
        assert!(matches!(plan(&["a@5s", "b@6s"], &["c@7s"], &[]), Err(P::NobodyLeft(_))));
        assert!(plan(&["a@5s", "b@6s"], &["c@8s"], &["a@7s"]).is_ok());
        assert!(plan(&["a@6s"], &["a@5s"], &["a@7s"]).is_ok(), "a hung node can be killed");
        assert!(plan(&[], &["a@19s"], &[]).is_ok(), "the end of a hang is waited for");
    }
}
