//! A view keeper before its node is in a view: founding, joining, going on with a vote, and saying for whom it waits.

use std::{sync::Arc, time::Duration};

use super::{Awaited, Beginning, KeeperInput, KeeperState, Left, Stage};
use crate::{
    id::NodeName,
    membership::{ChainMessage, FoundingEffect, Keeper, KeeperEffect, KeeperMessage, KeeperSettings, View},
    moment::Moment,
    runtime::shared::Readiness,
};

/// A starting node says for whom it waits once it has waited this long: most are let in or founded sooner.
const SAY_AWAITED_AFTER: Duration = Duration::from_millis(200);
/// And again after this, each time twice as long up to the longest: a node that waits for days shall not fill its log.
const SAY_AGAIN: Duration = Duration::from_secs(5);
const SAY_AGAIN_MAX: Duration = Duration::from_secs(60);

/// When what is waited for is said again.
pub(super) struct Reminder {
    due: Moment,
    pause: Duration,
}

impl Reminder {
    pub(super) fn new(now: Moment) -> Self {
        Self { due: now + SAY_AGAIN, pause: SAY_AGAIN }
    }

    pub(super) fn is_due(&mut self, now: Moment) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.pause = (self.pause * 2).min(SAY_AGAIN_MAX);
            self.due = now + self.pause;
        }
        is_due
    }
}

impl KeeperState {
    pub(super) fn found(&mut self, input: KeeperInput, now: Moment) {
        if let Some(left) = self.left.take() {
            self.go_on(left, now);
            return;
        }
        let Stage::Founding(founding) = &mut self.stage else { return };
        let mut effects = Vec::new();
        match input {
            KeeperInput::Message(from, KeeperMessage::Founding(message)) => {
                founding.handle(from, message, now, &mut effects);
            }
            KeeperInput::Message(from, KeeperMessage::Chain(ChainMessage::Decided(view))) => {
                founding.handle_decided(from, view, &mut effects);
            }
            KeeperInput::Tick => {
                founding.tick(&self.shared.connected(), now, &mut effects);
                let awaited = Awaited { missing: founding.missing(now), differing: founding.differing(now) };
                if now.since(self.began) >= SAY_AWAITED_AFTER {
                    let again = self.reminder.is_due(now);
                    self.say_awaited(awaited, again);
                }
            }
            KeeperInput::Describe(member) => self.member = member,
            _ => {}
        }
        for effect in effects {
            match effect {
                FoundingEffect::Send(to, message) => self.send(to, message),
                FoundingEffect::Founded(view) | FoundingEffect::Join(view) => {
                    self.begin_to_serve(&view, now);
                    return;
                }
                FoundingEffect::TwoClusters(one, other) => {
                    let _ = self.beginning.try_send(Beginning::TwoClusters(one, other));
                }
                FoundingEffect::Differs(difference) => {
                    let _ = self.beginning.try_send(Beginning::Differs(difference));
                }
                FoundingEffect::StartAnew => {
                    let _ = self.beginning.try_send(Beginning::StartAnew);
                }
            }
        }
    }

    fn say_awaited(&mut self, awaited: Awaited, again: bool) {
        if again || awaited != self.told_awaited {
            self.told_awaited.clone_from(&awaited);
            let _ = self.beginning.try_send(Beginning::Waiting(awaited));
        }
    }

    fn begin_to_serve(&mut self, view: &Arc<View>, now: Moment) {
        self.say_awaited(Awaited::default(), false);
        if let Err(fault) = view.check() {
            tracing::error!(%fault, "a view was refused");
            return;
        }
        let settings = self.keeper_settings();
        let keeper = Keeper::new(self.member.clone(), Arc::clone(view), settings, now);
        self.serve(keeper, vec![KeeperEffect::Keep], now);
    }

    fn keeper_settings(&self) -> KeeperSettings {
        let suspect_after = self.shared.settings.suspect_after;
        let defaults = KeeperSettings::default();
        // Two round trips of a slow network must fit in, or no view would ever be decided.
        let proposal_timeout = defaults.proposal_timeout.max(suspect_after / 4);
        KeeperSettings { suspect_after, proposal_timeout, ..defaults }
    }

    /// Takes up the vote of earlier processes: no founding, for the ring that they were in may still be.
    fn go_on(&mut self, left: Left, now: Moment) {
        let Left { vote, processes } = left;
        tracing::info!(view = vote.view.number.0, "going on with the vote that an earlier process left");
        let mut effects = vec![KeeperEffect::Keep];
        let settings = self.keeper_settings();
        let keeper = Keeper::restored(self.member.clone(), vote, processes, settings, now, &mut effects);
        self.serve(keeper, effects, now);
    }

    fn serve(&mut self, keeper: Keeper, effects: Vec<KeeperEffect>, now: Moment) {
        let view = Arc::clone(keeper.view());
        let view = &view;
        self.stage = Stage::Serving(Box::new(keeper));
        self.install(view);
        let is_kept = self.keep_vote(&effects);
        self.follow(effects, is_kept);
        self.watch();
        if !view.is_member(self.shared.me) {
            let members = view.members.iter().map(|m| m.node.name.as_str()).collect::<Vec<_>>().join(", ");
            tracing::info!("asking to be let in by {members}");
            self.reminder = Reminder::new(now);
        }
        self.keep(KeeperInput::Tick, now);
    }

    /// While this node is not let in: why, every now and then.
    pub(super) fn say_what_it_asks(&mut self, now: Moment) {
        let Stage::Serving(keeper) = &self.stage else { return };
        if *self.shared.readiness.borrow() != Readiness::Starting || !self.reminder.is_due(now) {
            return;
        }
        let outlook = keeper.outlook(now);
        let names = |names: &[NodeName]| names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        if outlook.has_quorum() {
            let unheard = names(&outlook.unheard);
            tracing::info!(
                unheard,
                "still asking to be let in: a majority of the ring's voters is heard, and has not decided it yet"
            );
        } else {
            let awaited = names(&outlook.awaited);
            tracing::info!(
                awaited,
                "still asking to be let in: too few of the ring's voters are heard from here to decide it"
            );
        }
    }
}
