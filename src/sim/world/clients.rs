//! What callers do in a world: begin, try, try again elsewhere, and note what they were told.

use std::time::Duration;

use super::{Event, World};
use crate::{
    id::{ArcId, NodeName},
    sim::{
        check::{Action, OperationNumber, Outcome},
        client::{Next, Running},
        hosting::{Answered, ReplyNumber},
        packet::{Answer, Request},
        register::session_key,
        workload::DEADLINE,
    },
};

/// A caller whose connection was refused tries elsewhere after this.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

impl World {
    /// Lets every client begin.
    pub(crate) fn begin_clients(&mut self, from: Duration) {
        for client in 0..self.setting.clients {
            self.at(from + Duration::from_millis(u64::from(client)), Event::Next(client));
        }
    }

    /// One operation of the caller's choice, now.
    pub(crate) fn begin(&mut self, client: u32, session: u32, action: impl Fn(u64) -> Action) {
        let request = self.clients[client as usize].ask(session, action);
        self.invoke(client, request);
    }

    /// Whether a client waits for an answer.
    #[must_use]
    pub(crate) fn waits(&self, client: u32) -> bool {
        self.clients[client as usize].running.is_some()
    }

    /// Where a client asks first.
    pub(crate) fn send_client_to(&mut self, client: u32, contact: NodeName) {
        self.clients[client as usize].contact = Some(contact);
    }

    /// Whether this is what a client tries now.
    pub(super) fn tries(&self, client: u32, attempt: u64) -> bool {
        self.clients[client as usize].running.as_ref().is_some_and(|running| running.request.attempt == attempt)
    }

    pub(super) fn begin_drawn(&mut self, client: u32) {
        if self.now() < self.setting.clients_until {
            let it = &mut self.clients[client as usize];
            let request = match &self.setting.hosted {
                Some(hosted) => it.draw_hosted(hosted),
                None => it.draw(self.setting.sessions, self.setting.acts, self.setting.skew),
            };
            self.invoke(client, request);
        }
    }

    fn invoke(&mut self, client: u32, request: Request) {
        self.order += 1;
        match self.history.invoke(request.session, client, self.order, request.action) {
            Ok(operation) => {
                let arc = session_key(request.session).arc(self.setting.arcs);
                self.note_asked(operation, &request, arc);
                let running = Running { operation, request, invoked: self.now, first_attempt: request.attempt };
                self.clients[client as usize].running = Some(running);
                self.send_request(client, None);
            }
            Err(fault) => self.violated("history", fault),
        }
    }

    fn note_asked(&mut self, operation: OperationNumber, request: &Request, arc: ArcId) {
        let call = self.setting.hosted.as_ref().zip(request.call);
        let words = || call.map_or_else(|| request.action.to_string(), |(hosted, call)| hosted.call(call).spoken.words);
        if let Some((value, call)) = request.action.writes().zip(request.call) {
            self.called.insert(value, (call, request.id));
        }
        self.record.asked(self.now, operation, request, words, arc);
    }

    pub(super) fn send_request(&mut self, client: u32, told: Option<NodeName>) {
        let it = &mut self.clients[client as usize];
        let Some(running) = &it.running else { return };
        if Duration::from_nanos(self.now - running.invoked) >= DEADLINE {
            self.end(client, Outcome::Unknown, None);
            return;
        }
        let Some((request, contact)) = it.retry(&self.names, told) else { return };
        let weather = self.network.weather;
        let (delay, lost, twice) = (it.delay(), it.suffers(weather.drop), it.suffers(weather.duplicate));
        let ghost = it.suffers(self.setting.ghosts).then(|| it.haunt(&self.names));
        if !lost {
            self.at(delay, Event::Request(contact, Box::new(request)));
        }
        if twice {
            self.at(delay * 3, Event::Request(contact, Box::new(request)));
        }
        if let Some((late, anyone)) = ghost {
            self.mark("an old request came again");
            self.at(late, Event::Request(anyone, Box::new(request)));
        }
        self.at(self.setting.try_for, Event::TryOver(client, request.attempt));
    }

    pub(super) fn answer(&mut self, client: u32, attempt: u64, answer: Answer) {
        if answer == Answer::Lost {
            self.mark("a caller was told that its session is lost");
        }
        match self.clients[client as usize].judge(attempt, answer) {
            Next::Ignore => {}
            Next::End(outcome) => {
                let said = if let Answer::Done(_, said) = answer { said } else { None };
                self.end(client, outcome, said);
            }
            Next::Elsewhere => self.at(REFUSED_PAUSE, Event::Elsewhere(client, attempt)),
            Next::Again(Some(told)) => self.send_request(client, Some(told.name)),
            Next::Again(None) => {
                if answer == Answer::Unknown {
                    self.mark("a deposed primary said: outcome unknown");
                }
                // The time-out of this try sends it again.
            }
        }
    }

    fn end(&mut self, client: u32, outcome: Outcome, said: Option<ReplyNumber>) {
        let it = &mut self.clients[client as usize];
        let Some(running) = it.running.take() else { return };
        let pause = it.pause(self.setting.pause);
        self.record.answered(self.now, running.operation, outcome, running.invoked);
        match outcome {
            Outcome::Unknown => self.mark("an outcome stayed unknown"),
            Outcome::Done(reply) => {
                self.answered = true;
                self.used(running.request.session, running.request.action, reply, running.invoked);
            }
            Outcome::NotDone => {}
        }
        self.order += 1;
        if let Err(fault) = self.history.answer(running.operation, self.order, outcome) {
            self.violated("history", fault);
        }
        if let (Some(call), Some(reply)) = (running.request.call, said) {
            let operation = self.history.operations()[running.operation.index()];
            self.told.push(Answered { operation, call, reply });
        }
        self.at(pause, Event::Next(client));
    }
}
