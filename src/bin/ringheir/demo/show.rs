//! Shows the run on stderr while it goes: a picture drawn again in place on a terminal, otherwise a line for each event and
//! one of counts every other second. Reads the board; changes nothing but the curve it remembers.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    io::{IsTerminal as _, Write as _, stderr},
    time::Duration,
};

use ringheir::moment::Moment;

use crate::{ask::tell, processes::Door};

use super::{
    board::{Board, Event, Notes},
    picture::{self, CURVE, Health, Scene},
    plan::{Plan, Step},
};

/// Between two pictures.
pub(crate) const REDRAW: Duration = Duration::from_millis(100);
/// Between two points of the curve, and what rates are counted over.
const POINT: Duration = Duration::from_millis(500);
/// Between two lines of counts.
const COUNTS: Duration = Duration::from_secs(2);
/// Events that the picture can choose from.
const EVENTS: usize = 10;

/// Hides the cursor while the picture stands, and shows it again however the run ends.
struct Cursor;

impl Cursor {
    fn hidden() -> Self {
        let _ = stderr().write_all(b"\x1b[?25l");
        Self
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let _ = stderr().write_all(b"\x1b[?25h");
    }
}

/// Counts at one time, to tell rates from.
struct Sample {
    at: Moment,
    by_node: BTreeMap<String, u64>,
}

/// What it shows and how.
pub(crate) struct Show {
    board: Board,
    doors: Vec<Door>,
    steps: Vec<Step>,
    run_for: Duration,
    sessions: u32,
    plain: bool,
    samples: VecDeque<Sample>,
    curve: Vec<u64>,
    events_known: usize,
    lines_drawn: usize,
    acked_told: u64,
}

impl Show {
    /// For this run.
    pub(crate) fn new(
        board: &Board,
        doors: &[Door],
        plan: &Plan,
        run_for: Duration,
        sessions: u32,
        plain: bool,
    ) -> Self {
        Self {
            board: board.clone(),
            doors: doors.to_vec(),
            steps: plan.steps().to_vec(),
            run_for,
            sessions,
            plain: plain || !stderr().is_terminal(),
            samples: VecDeque::new(),
            curve: Vec::new(),
            events_known: 0,
            lines_drawn: 0,
            acked_told: 0,
        }
    }

    /// Shows until it is aborted.
    pub(crate) async fn run(mut self) {
        let cursor = if self.plain { None } else { Some(Cursor::hidden()) };
        let mut counted = self.board.now();
        loop {
            self.sample();
            if self.plain {
                self.print_events();
                let now = self.board.now();
                if now.since(counted) >= COUNTS {
                    counted = now;
                    self.print_counts();
                }
            } else {
                self.redraw();
            }
            tokio::time::sleep(REDRAW).await;
            // The task may be aborted at any wait; the cursor comes back when it is dropped.
            let _ = &cursor;
        }
    }

    fn sample(&mut self) {
        let at = self.board.now();
        if self.samples.back().is_some_and(|last| at.since(last.at) < POINT) {
            return;
        }
        let by_node = self.board.notes().measure.by_node.clone();
        self.samples.push_back(Sample { at, by_node });
        while self.samples.len() > 3 {
            self.samples.pop_front();
        }
        if let [.., before, last] = self.samples.make_contiguous() {
            let total = self.doors.iter().map(|door| rate(before, last, &door.name)).sum();
            self.curve.push(total);
            if self.curve.len() > CURVE {
                self.curve.remove(0);
            }
        }
    }

    /// Acknowledgements a second by one node, over the last second or so.
    fn rate(&self, name: &str) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => rate(first, last, name),
            _ => 0,
        }
    }

    fn print_events(&mut self) {
        let (events, known) = self.board.notes().events_since(self.events_known);
        self.events_known = known;
        for Event { at, what, .. } in events {
            tell(format_args!("{:>8.3} s  {what}", at.as_secs_f64()));
        }
    }

    /// Nothing while nothing is acknowledged: at the end everything is read, and that may take a while.
    fn print_counts(&mut self) {
        let rate: u64 = self.doors.iter().map(|door| self.rate(&door.name)).sum();
        let notes = self.board.notes();
        let unprotected = notes.view.as_ref().map_or(0, |view| view.unprotected());
        let at = self.board.now().since(notes.began).as_secs_f64();
        let (measure, wrong) = (&notes.measure, notes.wrong);
        if std::mem::replace(&mut self.acked_told, measure.acked) == measure.acked {
            return;
        }
        tell(format_args!(
            "{at:>8.3} s  {rate} ops/s, {} acknowledged, {} sent again, {} failed, {unprotected} arc(s) unprotected, {} wrong",
            measure.acked,
            measure.retried,
            measure.failed,
            wrong.lost + wrong.duplicated + wrong.stale + wrong.false_answers,
        ));
    }

    fn health(notes: &Notes, name: &str) -> Health {
        let is_member = notes.view.as_ref().is_some_and(|view| view.incarnation(name).is_some());
        notes.away.get(name).copied().unwrap_or(if is_member { Health::Up } else { Health::Out })
    }

    fn redraw(&mut self) {
        let lines = {
            let notes = self.board.notes();
            let mut events: Vec<Event> = notes.events().rev().take(EVENTS).cloned().collect();
            events.reverse();
            let scene = Scene {
                elapsed: self.board.now().since(notes.began),
                run_for: self.run_for,
                sessions: self.sessions,
                nodes: self
                    .doors
                    .iter()
                    .map(|door| (door.name.clone(), Self::health(&notes, &door.name), self.rate(&door.name)))
                    .collect(),
                view: notes.view.as_deref(),
                steps: &self.steps,
                done: notes.done,
                counts: (notes.measure.acked, notes.measure.retried, notes.measure.failed),
                wrong: notes.wrong,
                curve: &self.curve,
                events,
            };
            picture::draw(&scene)
        };
        let (columns, rows) = terminal_size();
        // What is higher than the terminal cannot be drawn in place.
        let shown = lines.len().min(rows.saturating_sub(1));
        let colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut text = String::new();
        if self.lines_drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.lines_drawn));
        }
        for line in &lines[..shown] {
            text.push_str(&format!("\r{}\x1b[K\n", line.render(columns, colours)));
        }
        // If the terminal became smaller, nothing of the picture before stays below.
        text.push_str("\x1b[J");
        self.lines_drawn = shown;
        // There is nobody to tell that stderr is gone.
        let _ = stderr().write_all(text.as_bytes());
    }
}

fn rate(before: &Sample, last: &Sample, name: &str) -> u64 {
    let count = |sample: &Sample| sample.by_node.get(name).copied().unwrap_or(0);
    let seconds = last.at.since(before.at).as_secs_f64();
    // The counts begin anew when the clients begin.
    let new = count(last).saturating_sub(count(before));
    if seconds > 0.0 { (new as f64 / seconds).round() as u64 } else { 0 }
}

/// Columns and rows of the terminal; what a terminal usually has if it does not say.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
        _ => (80, 40),
    }
}
