//! What callers do in a world: begin, try, try again elsewhere, and note what they were told.

use std::time::Duration;

use super::{Event, World};
use crate::{
    id::{NodeName, RequestId},
    sim::{
        check::{Action, OperationNumber, Outcome},
        client::{Next, Running},
        hosting::{Answered, CallNumber},
        packet::{Answer, Request, Told},
        register::session_key,
        several::SeveralOperations,
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
                None => {
                    let (acts, together) = (self.setting.acts, self.setting.together);
                    let request = it.draw(self.setting.sessions, acts, self.setting.skew);
                    let of_its_arc = self.of_arc.get(&session_key(request.session).arc(self.setting.arcs));
                    match of_its_arc {
                        Some(of_its_arc) => it.take_along(request, of_its_arc, together, acts),
                        None => request,
                    }
                }
            };
            self.invoke(client, request);
        }
    }

    fn invoke(&mut self, client: u32, request: Request) {
        self.order += 1;
        let Some(operation) = self.note_asked(client, request.session, request.action, request.call, request.id) else {
            return;
        };
        let mut along = SeveralOperations::default();
        for (place, part) in along.iter_mut().zip(request.along) {
            *place = part.and_then(|part| self.note_asked(client, part.session, part.action, None, request.id));
        }
        if along != SeveralOperations::default() {
            self.together.push([Some(operation)].into_iter().chain(along).flatten().collect());
        }
        let running = Running { operation, along, request, invoked: self.now, first_attempt: request.attempt };
        self.clients[client as usize].running = Some(running);
        self.send_request(client, None);
    }

    /// One session is asked for something: its place in the history.
    fn note_asked(
        &mut self,
        client: u32,
        session: u32,
        action: Action,
        call: Option<CallNumber>,
        id: RequestId,
    ) -> Option<OperationNumber> {
        let operation = match self.history.invoke(session, client, self.order, action) {
            Ok(operation) => operation,
            Err(fault) => {
                self.violated("history", fault);
                return None;
            }
        };
        self.note_written(action);
        let hosted = self.setting.hosted.as_ref().zip(call);
        let words = || hosted.map_or_else(|| action.to_string(), |(hosted, call)| hosted.call(call).spoken.words);
        if let Some((value, call)) = action.writes().zip(call) {
            self.called.insert(value, (call, id));
        }
        let arc = session_key(session).arc(self.setting.arcs);
        self.record.asked(self.now, operation, (client, session), words, arc);
        Some(operation)
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
                let told = if let Answer::Done(told) = answer { Some(told) } else { None };
                self.end(client, outcome, told);
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

    fn end(&mut self, client: u32, outcome: Outcome, told: Option<Told>) {
        let it = &mut self.clients[client as usize];
        let Some(running) = it.running.take() else { return };
        let pause = it.pause(self.setting.pause);
        self.order += 1;
        if outcome == Outcome::Unknown {
            self.mark("an outcome stayed unknown");
        }
        self.note_answered(
            running.operation,
            running.request.session,
            running.request.action,
            outcome,
            running.invoked,
        );
        for (at, (operation, part)) in running.along.into_iter().zip(running.request.along).enumerate() {
            let Some((operation, part)) = operation.zip(part) else { continue };
            let reply = told.and_then(|told| told.along[at]);
            let outcome = reply.map_or(Outcome::Unknown, Outcome::Done);
            self.note_answered(operation, part.session, part.action, outcome, running.invoked);
        }
        let said = told.and_then(|told| told.said);
        if let (Some(call), Some(reply)) = (running.request.call, said) {
            let operation = self.history.operations()[running.operation.index()];
            self.told.push(Answered { operation, call, reply });
        }
        self.at(pause, Event::Next(client));
    }

    /// A session's caller knows what became of what it asked for.
    fn note_answered(
        &mut self,
        operation: OperationNumber,
        session: u32,
        action: Action,
        outcome: Outcome,
        invoked: u64,
    ) {
        self.record.answered(self.now, operation, outcome, invoked);
        if let Outcome::Done(reply) = outcome {
            self.answered = true;
            self.used(session, action, reply, invoked);
        }
        if let Err(fault) = self.history.answer(operation, self.order, outcome) {
            self.violated("history", fault);
        }
    }
}
