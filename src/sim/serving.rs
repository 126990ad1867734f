//! The serving part of a simulated node: view keeper, monitor and host side by side, as the runtime wires them.
//!
//! It hands each packet to whom it concerns and gives back what they ask for; it carries no effect out itself.

use std::time::Duration;

use super::packet::{Output, Packet};
use crate::{
    id::NodeId,
    membership::{Hearing, Keeper, KeeperEffect, KeeperMessage, Monitor, answer_as_serving},
    moment::Moment,
    replication::{Effect, Grants, Host},
};

/// What a node consists of once it has a view.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) keeper: Keeper,
    pub(crate) monitor: Monitor,
    pub(crate) host: Host,
    pub(crate) grants: Grants,
    /// Whether the monitor may know something that the keeper was not told.
    pub(crate) news: bool,
}

/// What the parts ask for, kept apart because different hands carry it out.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) keeping: Vec<KeeperEffect>,
    pub(crate) effects: Vec<Effect>,
}

impl Serving {
    /// Tells the keeper what the monitor knows, if that may have changed.
    pub(crate) fn hear(&mut self) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        let members = self.keeper.view().members.iter().map(|m| m.node);
        let joining = self.keeper.joining().map(|(n, _)| n);
        let heard = members.chain(joining);
        let installed = heard.filter_map(|n| Some((n, self.monitor.installed_of(n)?.0))).collect();
        self.keeper.hear(Hearing { hears: self.monitor.hears(), suspects: self.monitor.suspects(), installed });
    }

    /// Watches the members and whoever wants to be one.
    pub(crate) fn watch(&mut self, now: Moment) {
        let members = self.keeper.view().members.iter().map(|m| m.node);
        let watched = members.chain(self.keeper.joining().map(|(n, _)| n)).collect();
        self.monitor.watch(&watched, now);
        self.news = true;
    }

    pub(crate) fn tick(&mut self, now: Moment, jitter: Duration, asked: &mut Asked, out: &mut Vec<Output>) {
        let number = self.keeper.view().number;
        let beat = self.monitor.tick(now, number, true);
        self.news |= !beat.changes.is_empty();
        for (peer, ping) in beat.pings {
            out.push(Output::Send(peer, Packet::Ping(ping)));
        }
        self.hear();
        self.keeper.tick(now, jitter, &mut asked.keeping);
        self.host.tick(now, &mut asked.effects);
    }

    pub(crate) fn handle(
        &mut self,
        from: NodeId,
        packet: Packet,
        jitter: Duration,
        now: Moment,
        asked: &mut Asked,
        out: &mut Vec<Output>,
    ) {
        let number = self.keeper.view().number;
        let known = self.monitor.installed_of(from);
        let Asked { keeping, effects } = asked;
        match packet {
            Packet::Keeper(KeeperMessage::Founding(message)) => {
                if let Some(answer) = answer_as_serving(self.keeper.view(), &message) {
                    out.push(Output::Send(from, Packet::Keeper(KeeperMessage::Founding(answer))));
                }
            }
            Packet::Keeper(message) => {
                let joins = matches!(message, KeeperMessage::Join(_));
                self.hear();
                self.keeper.handle(from, message, now, jitter, keeping);
                if joins {
                    self.watch(now);
                }
            }
            Packet::Ping(ping) => {
                if let Some(pong) = self.monitor.handle_ping(from, &ping, now, number, number) {
                    self.grants.give(from, now, self.host.settings().lease);
                    out.push(Output::Send(from, Packet::Pong(pong)));
                }
                self.keeper.handle_installed(from, ping.installed, now, keeping);
            }
            Packet::Pong(pong) => {
                // Evidence may end a suspicion at once; that one begins, only a tick can tell.
                self.news |= !self.monitor.suspects().is_empty();
                if let Some(answered) = self.monitor.handle_pong(from, &pong, now) {
                    self.host.handle_grant(from, answered.sent, answered.stamp, now, effects);
                    self.host.handle_installed(from, answered.installed, now, effects);
                }
                self.keeper.handle_installed(from, pong.installed, now, keeping);
            }
            Packet::Frame(frame) => self.host.handle_frame(from, frame, now, effects),
            Packet::Ack(stream, ack) => self.host.handle_ack(from, stream, &ack, now, effects),
        }
        self.news |= self.monitor.installed_of(from) != known;
    }
}
