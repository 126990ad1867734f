//! What a scenario asks for that real processes cannot do: told before anything is started.

use ringheir::sim::scenario::{ClusterPlan, Deed, Holds, Scenario};

use super::notes::MARKS;

/// Everything in a scenario that only the simulator can do, each with the reason; empty if real processes can play it.
pub(in crate::sim) fn cannot(scenario: &Scenario) -> Vec<String> {
    let mut told = Vec::new();
    let usual = ClusterPlan::default();
    let cluster = &scenario.cluster;
    if (cluster.clocks_apart, cluster.clock_drift) != (usual.clocks_apart, usual.clock_drift) {
        told.push("`clocks_apart` and `clock_drift`: all processes of one machine have its clock".to_owned());
    }
    if scenario.work.lifetimes.is_some() {
        told.push(
            "`lifetimes`: that a session ended in time is judged by the clocks of the simulator alone".to_owned(),
        );
    }
    if scenario.work.together > 0.0 {
        told.push("`together`: over HTTP each document is a commit of its own".to_owned());
    }
    if scenario.swarm.is_some() {
        told.push("`[swarm]`: faults by chance are drawn for the simulator; write them as steps".to_owned());
    }
    for step in &scenario.steps {
        if let Deed::ClockRate(name, _) = &step.deed {
            told.push(format!("the step at {:?}, `clock_rate` of {name}: all processes have one clock", step.at));
        }
    }
    for expect in &scenario.expects {
        if let Holds::Reached(mark) = &expect.holds
            && !MARKS.contains(&mark.as_str())
        {
            told.push(format!(
                "line {}, `reached = \"{mark}\"`: from outside a process only these branches are seen: {}",
                expect.line,
                MARKS.join("; ")
            ));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(more: &str) -> Scenario {
        let text = format!("about = \"A test.\"\n{more}");
        Scenario::from_text("test", "test.toml", &text).unwrap_or_else(|error| panic!("{error:?}"))
    }

    #[test]
    fn what_processes_cannot_do_is_told_all_at_once_and_the_rest_is_not() {
        let nodes = "[cluster]\nnodes = [\"a\", \"b\"]\n";
        let can = format!(
            "{nodes}[[step]]\nat = \"1s\"\nkill = \"a\"\n[[expect]]\nfinally = true\nreached = \"a promotion\"\n"
        );
        assert_eq!(cannot(&scenario(&can)), Vec::<String>::new());
        let cannot_be = format!(
            "{nodes}clock_drift = 100\n[workload]\nlifetimes = \"2s\"\ntogether = 0.1\n[swarm]\nfrom = \"1s\"\nuntil = \"2s\"\n\
             [[step]]\nat = \"1s\"\nclock_rate = {{ node = \"a\", ppm = 1 }}\n\
             [[expect]]\nfinally = true\nreached = \"start anew\"\n"
        );
        let told = cannot(&scenario(&cannot_be));
        let wanted = ["clock_drift", "lifetimes", "together", "[swarm]", "clock_rate", "start anew"];
        assert_eq!(told.len(), wanted.len(), "{told:?}");
        assert!(told.iter().zip(wanted).all(|(told, wanted)| told.contains(wanted)), "{told:?}");
    }
}
