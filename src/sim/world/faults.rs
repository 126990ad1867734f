//! What goes wrong in a world, and how it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    time::Duration,
};

use super::{Disk, Event, Process, World};
use crate::{
    id::{ClusterId, Incarnation, NodeId, NodeName},
    membership::{FoundingPlan, Member, Shape, Standing, View, Vote, WEIGHT},
    sim::{
        clock::Clock,
        fault::{Fault, Whom},
        node::SimNode,
        random::Stream,
    },
};

impl World {
    /// Lets a fault happen at once, and says whether it found its victim.
    pub(crate) fn strike_now(&mut self, fault: Fault) -> bool {
        let before = self.struck;
        self.strike(fault);
        self.struck > before
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(whom, down) => {
                if let Some(name) = self.find(whom).filter(|name| self.may_kill(*name)) {
                    self.mark("a kill");
                    self.struck += 1;
                    self.end_process(name, "killed");
                    self.at(down, Event::Fault(Fault::Start(name)));
                }
            }
            Fault::Vanish(whom, down) => {
                let id = self.find(whom).and_then(|name| self.node(name)).map(SimNode::id);
                if self.strike_now(Fault::Kill(whom, down)) {
                    self.queue.cancel(|event| matches!(event, Event::Packet(from, ..) if Some(*from) == id));
                }
            }
            Fault::Start(name) => self.start(name),
            Fault::Pause(whom, lasts) => {
                if let Some(name) = self.find(whom).filter(|name| self.processes.contains_key(name)) {
                    self.put_to_sleep(name);
                    self.struck += 1;
                    self.at(lasts, Event::Fault(Fault::Resume(name)));
                }
            }
            Fault::Resume(name) => self.resume(name),
            Fault::Stand(whom, standing, lasts) => {
                if let Some(name) = self.find(whom)
                    && let Some(process) = self.processes.get_mut(&name)
                {
                    process.node.stand(standing);
                    self.struck += 1;
                    self.at(lasts, Event::Fault(Fault::StandUp(name)));
                }
            }
            Fault::StandUp(name) => self.stand_up(name),
            Fault::Claim(whom, lasts) => {
                if let Some(name) = self.find(whom)
                    && let Some(process) = self.processes.get_mut(&name)
                {
                    process.node.claim(true);
                    self.struck += 1;
                    self.at(lasts, Event::Fault(Fault::Unclaim(name)));
                }
            }
            Fault::Unclaim(name) => {
                if let Some(process) = self.processes.get_mut(&name) {
                    process.node.claim(false);
                }
            }
            Fault::Cut { cut, told } => self.cut(&cut, told),
            Fault::Recover => self.recover(),
            Fault::ClearLost => self.clear_lost(),
            Fault::Mend => self.mend(),
            Fault::Heal => {
                self.record.step(self.now, "what is still wrong is mended".to_owned(), &[]);
                self.mend();
                self.network.clear_up();
                self.network.weather.drop = 0.0;
                self.setting.kill_on_wish = 0.0;
                self.setting.kill_on_founding = 0.0;
                self.setting.kill_on_vote = 0.0;
                // What is left to see is that callers are answered; fewer of them say that as well.
                self.setting.pause *= 3;
                let listed = self.setting.names.clone();
                for name in self.names.clone() {
                    if !listed.contains(&name) && !self.started.contains_key(&name) {
                        continue; // Nobody has ever heard of it.
                    }
                    self.resume(name);
                    self.stand_up(name);
                    self.start(name);
                }
                if self.setting.recovers {
                    for later in [900, 5_000] {
                        self.at(Duration::from_millis(later), Event::Fault(Fault::Recover));
                    }
                }
            }
        }
    }

    /// The operator's word must be true, or nothing can be judged: whoever is not named is dead, and the newest view is known to
    /// one who is. Nobody is named who has not been in the newest cluster.
    pub(super) fn recover(&mut self) {
        let Some(newest) = self.newest.clone() else { return };
        let named: BTreeSet<NodeName> = self
            .processes
            .iter()
            .filter(|(_, p)| p.node.view().is_some_and(|view| view.cluster == newest.cluster))
            .map(|(name, _)| *name)
            .collect();
        let knows = |p: &Process| p.node.view().is_some_and(|view| view.number == newest.number);
        let asked = self.processes.values().find(|p| knows(p) && newest.is_member(p.node.id())).map(|p| p.node.id());
        let some_sleep = self.processes.values().any(|p| p.paused);
        let Some(asked) = asked.filter(|_| !some_sleep) else { return };
        let connected = self.reachable_from(asked);
        let all_reached = named.iter().all(|name| *name == asked.name || connected.iter().any(|n| n.name == *name));
        let left_out = newest.members.iter().any(|m| self.alive.contains(&m.node) && !named.contains(&m.node.name));
        if !all_reached || left_out {
            return;
        }
        self.go_on_with(asked, &named, &connected);
    }

    /// Who that is now.
    pub(super) fn find(&self, whom: Whom) -> Option<NodeName> {
        let entry = |arc| self.newest.as_ref().and_then(|view| view.arc(arc));
        match whom {
            Whom::Named(name) => Some(name),
            Whom::Primary(arc) => entry(arc).map(|e| e.primary.name),
            Whom::Backup(arc) => entry(arc).and_then(|e| e.in_sync.first()).map(|b| b.name),
            Whom::Learner(arc) => entry(arc).and_then(|e| e.catching_up).map(|l| l.name),
        }
    }

    /// Whether the cluster can be expected to go on without a process: a majority of the voters lives, both of the newest view
    /// and of the newest that anybody else knows, and, unless the run is one that may lose arcs, so does a copy of every arc.
    fn may_kill(&self, name: NodeName) -> bool {
        if !self.setting.guarded {
            return true;
        }
        let Some(newest) = &self.newest else { return true };
        if self.setting.spares_one {
            let founders = self.setting.founders();
            let is_left = |(other, p): (&NodeName, &Process)| {
                *other != name && founders.contains(other) && p.node.view().is_some()
            };
            return self.processes.iter().any(is_left);
        }
        let stays = |n: &NodeId| n.name != name && self.alive.contains(n);
        // Votes that outlive their processes come back.
        let goes_on = |view: &View| {
            self.setting.keeps_votes
                || self.setting.recovers
                || view.voters.iter().filter(|v| stays(v)).count() * 2 > view.voters.len()
        };
        let copy_stays = newest.arcs.iter().all(|e| stays(&e.primary) || e.in_sync.iter().any(stays));
        let others_go_on = self.newest_known(|n| n.name != name).is_none_or(|view| goes_on(view));
        // A ring that is to be recovered needs somebody who knows what it was last.
        let is_known = !self.setting.recovers
            || self.processes.values().any(|p| {
                let (node, view) = (p.node.id(), p.node.view());
                node.name != name && newest.is_member(node) && view.is_some_and(|view| view.number == newest.number)
            });
        goes_on(newest) && others_go_on && (copy_stays || self.setting.may_lose) && is_known
    }

    pub(super) fn start(&mut self, name: NodeName) {
        if self.processes.contains_key(&name) {
            return;
        }
        let nth = self.started.entry(name).or_default();
        *nth += 1;
        let mut chance = self.streams.stream(&format!("process {name} {nth}"));
        let drawn = (u128::from(chance.bits()) << 64) | u128::from(chance.bits());
        let incarnation = if self.setting.reuse_ids { Incarnation(7) } else { Incarnation(drawn) };
        let node = NodeId { name, incarnation };
        let (votes_as, left) = self.disk_of(node);
        let member = Member {
            node,
            role: self.setting.role(name),
            zone: self.setting.zones.get(&name).cloned(),
            cluster_address: String::new(),
            http_address: None,
            workers: 1,
            votes_as,
            standing: Standing::Open,
            weight: self.draw_weight(&mut chance),
            claims: false,
            kinds: vec![],
        };
        let shape = Shape {
            arcs: self.setting.arcs,
            backups: self.setting.backups,
            spread: self.setting.spread,
            pin: self.setting.pin,
            voters_max: self.setting.voters,
            agreement: self.setting.agreement,
            lease: self.setting.replication.lease,
            reply_keep: self.setting.replication.replies.keep,
            ring: self.setting.names.clone(),
            weights: BTreeMap::new(),
        };
        let mut voters = self.setting.founders();
        if self.setting.found_by_majority {
            // Whoever starts takes itself and the next that make a majority with it.
            let (most, place) = (voters.len() / 2 + 1, voters.iter().position(|voter| *voter == name).unwrap_or(0));
            voters.rotate_left(place);
            voters.truncate(most);
        }
        let plan = FoundingPlan { digest: 1, shape, voters, listen: Duration::ZERO };
        let cluster = ClusterId(u128::from(chance.bits()));
        let (apart, drift) = self.setting.clocks;
        let ahead = chance.range(1, super::nanos(apart).max(2));
        let fast = i64::try_from(chance.range(0, u64::from(drift) * 2 + 1)).expect("small") - i64::from(drift);
        let first = Duration::from_micros(chance.range(0, 10_000));
        let process = Process {
            node: SimNode::start(member, plan, cluster, &self.setting, left),
            paused: false,
            waiting: Vec::new(),
            slept: None,
            clock: Clock::new(ahead, fast),
            chance,
        };
        self.alive.insert(node);
        self.processes.insert(name, process);
        self.record.started(self.now, node);
        self.at(first, Event::Tick(node));
    }

    /// With which weight a process starts, in runs where that differs.
    fn draw_weight(&self, chance: &mut Stream) -> NonZeroU16 {
        let weights = [WEIGHT, WEIGHT.saturating_add(1), WEIGHT.saturating_add(2)];
        let drawn = if self.setting.weighs { chance.choose(&weights).copied() } else { None };
        drawn.unwrap_or(WEIGHT)
    }

    /// As whom a starting process votes, and what is left of those before it, if it has a data directory.
    fn disk_of(&mut self, node: NodeId) -> (Option<Incarnation>, Option<(Vote, Vec<NodeId>)>) {
        if !self.setting.keeps_votes {
            return (None, None);
        }
        let new = Disk { voter: node.incarnation, processes: Vec::new(), vote: None };
        let disk = self.disks.entry(node.name).or_insert(new);
        let earlier = disk.processes.clone();
        disk.processes.push(node);
        if disk.vote.is_none() {
            // It never was in a view, so it never voted.
            disk.voter = node.incarnation;
        }
        (Some(disk.voter), disk.vote.clone().map(|vote| (vote, earlier)))
    }

    /// Ends a process; the others see its connections close, and have proof of its death in their time.
    pub(super) fn end_process(&mut self, name: NodeName, how: &str) {
        let Some(mut process) = self.processes.remove(&name) else { return };
        let dead = process.node.id();
        self.alive.remove(&dead);
        self.record.ended(self.now, name, how);
        self.note_all_lost();
        let others: Vec<NodeId> = self.alive.iter().copied().collect();
        for other in others {
            let seen = process.chance.duration(Duration::from_micros(500), Duration::from_millis(5));
            let proved =
                self.setting.proof_within.map(|within| process.chance.duration(Duration::from_millis(1), within));
            if self.network.connected(dead.name, other.name) {
                self.at(seen, Event::Closed(other, dead));
            }
            if let Some(proved) = proved {
                self.at(proved, Event::Proof(other, dead));
            }
        }
    }

    /// What a dead process held can be looked at by whoever comes later, too.
    pub(super) fn look_for(&mut self, seeker: NodeId, of: NodeId) {
        if let Some(within) = self.setting.proof_within.filter(|_| !self.alive.contains(&of)) {
            self.mark("proof of a death was sought by one that came later");
            let Some(seeker_process) = self.processes.get_mut(&seeker.name) else { return };
            let proved = seeker_process.chance.duration(Duration::from_millis(1), within);
            self.at(proved, Event::Proof(seeker, of));
        }
    }

    pub(super) fn stand_up(&mut self, name: NodeName) {
        if let Some(process) = self.processes.get_mut(&name).filter(|p| !p.node.has_left()) {
            process.node.stand(Standing::Open);
        }
    }

    /// A process that has drained ends, and starts anew a little later.
    pub(super) fn end_if_left(&mut self, id: NodeId) {
        if self.node(id.name).is_some_and(|node| node.id() == id && node.has_left()) {
            self.mark("a node drained and left");
            self.end_process(id.name, "left");
            // In a scenario it stays away until a step brings it back.
            if self.setting.guarded {
                let down = self.chance.duration(Duration::from_millis(10), Duration::from_millis(800));
                self.at(down, Event::Fault(Fault::Start(id.name)));
            }
        }
    }

    pub(super) fn resume(&mut self, name: NodeName) {
        let Some(process) = self.processes.get_mut(&name).filter(|p| p.paused) else { return };
        process.paused = false;
        self.record.paused(self.now, name, false);
        let waiting = std::mem::take(&mut process.waiting);
        self.mark("a paused node went on");
        for event in waiting {
            self.at(Duration::from_micros(10), event);
        }
    }
}
