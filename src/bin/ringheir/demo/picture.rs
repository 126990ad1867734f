//! The picture of the ring, about 25 lines that are drawn again in place.
//!
//! Makes text from what is on the board and measures nothing. The ring is drawn as a column whose last line leads back to the
//! first: each node with what it serves and guards, between two nodes the link from the upper to the lower.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::{board::Event, ledger::Wrong, plan::Step};
use crate::ask::ClusterView;

/// Events shown.
const EVENTS: usize = 7;
/// Columns of the bar of a node's operations.
const BAR: usize = 20;
/// Columns of the curve of operations over time.
pub(crate) const CURVE: usize = 60;

/// A colour, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As the terminal has it.
    Plain,
    /// Bold.
    Bold,
    /// Well.
    Green,
    /// On the way.
    Yellow,
    /// Not well.
    Red,
    /// Of little weight.
    Dim,
}

/// One line, in pieces of one ink each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Ink, String)>);

impl Line {
    fn with(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// The line, at most `width` columns, with colours if wanted. Where it is cut it ends in `…`: half a number would lie.
    pub(crate) fn render(&self, width: usize, colours: bool) -> String {
        let is_whole = self.0.iter().map(|(_, piece)| piece.chars().count()).sum::<usize>() <= width;
        let (mut text, mut left) = (String::new(), if is_whole { width } else { width.saturating_sub(1) });
        for (ink, piece) in &self.0 {
            let cut: String = piece.chars().take(left).collect();
            left -= cut.chars().count();
            let code = match ink {
                Ink::Plain => "",
                Ink::Bold => "1",
                Ink::Green => "32",
                Ink::Yellow => "33",
                Ink::Red => "1;31",
                Ink::Dim => "2",
            };
            if !colours || code.is_empty() {
                text.push_str(&cut);
            } else {
                // Writing into a String cannot fail.
                let _ = write!(text, "\x1b[{code}m{cut}\x1b[0m");
            }
        }
        if !is_whole && width > 0 {
            text.push('…');
        }
        text
    }
}

/// What a node is, as the demo knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Runs and is in the view.
    Up,
    /// Runs and is not in the view.
    Out,
    /// Hung by the demo.
    Hung,
    /// Killed by the demo.
    Dead,
    /// Started again, not ready.
    Starting,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Out => "out",
            Self::Hung => "HUNG",
            Self::Dead => "DEAD",
            Self::Starting => "starts",
        }
    }

    const fn ink(self) -> Ink {
        match self {
            Self::Up => Ink::Green,
            Self::Out | Self::Starting => Ink::Yellow,
            Self::Hung | Self::Dead => Ink::Red,
        }
    }
}

/// Everything that is drawn.
pub(crate) struct Scene<'a> {
    /// Since the clients began.
    pub(crate) elapsed: Duration,
    /// How long the clients run.
    pub(crate) run_for: Duration,
    /// How many sessions there are.
    pub(crate) sessions: u32,
    /// In ring order, with what each acknowledged per second.
    pub(crate) nodes: Vec<(String, Health, u64)>,
    /// The newest view.
    pub(crate) view: Option<&'a ClusterView>,
    /// The plan, with what is done of it.
    pub(crate) steps: &'a [Step],
    /// How many steps are done.
    pub(crate) done: usize,
    /// Acknowledged, sent more than once, failed.
    pub(crate) counts: (u64, u64, u64),
    /// What was wrong.
    pub(crate) wrong: Wrong,
    /// Operations per second over time, the newest last.
    pub(crate) curve: &'a [u64],
    /// The last things that happened, the newest last.
    pub(crate) events: Vec<Event>,
}

fn bar(part: u64, whole: u64, columns: usize) -> String {
    let filled = (part.min(whole) * columns as u64).checked_div(whole).unwrap_or(0) as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(columns - filled))
}

fn curve(values: &[u64]) -> String {
    let shown = &values[values.len().saturating_sub(CURVE)..];
    let top = shown.iter().copied().max().unwrap_or(0).max(1);
    let step = |value: u64| ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(value * 7).div_ceil(top).min(7) as usize];
    shown.iter().map(|value| if *value == 0 { ' ' } else { step(*value) }).collect()
}

/// The links that leave one node, the one to its neighbour below first.
fn links(scene: &Scene<'_>, from: usize) -> String {
    let Some(view) = scene.view else { return String::new() };
    let all: BTreeMap<(&str, &str), usize> = view.links();
    let count = scene.nodes.len();
    let mut told = Vec::new();
    for step in 1..count {
        let to = scene.nodes[(from + step) % count].0.as_str();
        if let Some(arcs) = all.get(&(scene.nodes[from].0.as_str(), to)) {
            told.push(format!("{arcs} → {to}"));
        }
    }
    told.join(", ")
}

/// The picture, top to bottom.
pub(crate) fn draw(scene: &Scene<'_>) -> Vec<Line> {
    let line = Line::default;
    let view = scene.view;
    let ops: u64 = scene.nodes.iter().map(|(_, _, ops)| ops).sum();
    let mut lines = vec![
        line().with(Ink::Bold, "ringheir demo").with(
            Ink::Plain,
            format!(
                "   {:>4.1} s of {} s   view {}   {} sessions   {ops} ops/s",
                scene.elapsed.as_secs_f64(),
                scene.run_for.as_secs_f64(),
                view.map_or(0, |view| view.number),
                scene.sessions,
            ),
        ),
        line(),
    ];
    let most = scene.nodes.iter().map(|(_, _, ops)| *ops).max().unwrap_or(0);
    let last = scene.nodes.len().saturating_sub(1);
    let width = scene.nodes.iter().map(|(name, _, _)| name.chars().count()).max().unwrap_or(1);
    for (position, (name, health, ops)) in scene.nodes.iter().enumerate() {
        let edge = match position {
            0 if last == 0 => "   ",
            0 => " ╭▶ ",
            _ if position == last => " ╰─ ",
            _ => " │  ",
        };
        let (serves, guards) = view.map_or((0, 0), |view| (view.serves(name), view.guards(name)));
        let weight = if *health == Health::Up { Ink::Plain } else { Ink::Dim };
        lines.push(
            line()
                .with(Ink::Dim, edge)
                .with(Ink::Bold, format!("{name:<width$}  "))
                .with(health.ink(), format!("{:<6}", health.word()))
                .with(weight, format!("  serves {serves:>4}  guards {guards:>4}  "))
                .with(weight, format!("{}  {ops:>6} ops/s", bar(*ops, most, BAR))),
        );
        let edge = if position == last { "    " } else { " │  " };
        let arrow = format!("{:<width$}  ", if position == last { "↺" } else { "↓" });
        lines.push(line().with(Ink::Dim, edge).with(Ink::Dim, arrow).with(Ink::Dim, links(scene, position)));
    }
    lines.push(line());
    lines.push(protection(view));
    let wrong = scene.wrong;
    let (acked, retried, failed) = scene.counts;
    let verdict = format!("lost {}  duplicated {}  stale {}", wrong.lost, wrong.duplicated, wrong.stale);
    lines.push(
        line()
            .with(Ink::Plain, format!("clients    acknowledged {acked}  sent again {retried}  failed {failed}   "))
            .with(if wrong.is_nothing() { Ink::Green } else { Ink::Red }, verdict),
    );
    lines.push(line().with(Ink::Plain, "ops/s      ").with(Ink::Green, curve(scene.curve)));
    lines.push(plan(scene));
    lines.push(line());
    for position in 0..EVENTS {
        // The place of each is fixed, so that the picture keeps its height.
        let skip = scene.events.len().saturating_sub(EVENTS);
        lines.push(scene.events.get(skip + position).map_or_else(line, |event| {
            line()
                .with(Ink::Dim, format!("{:>7.3} s  ", event.at.as_secs_f64()))
                .with(if event.what.starts_with("WRONG") { Ink::Red } else { Ink::Plain }, event.what.clone())
        }));
    }
    lines
}

fn protection(view: Option<&ClusterView>) -> Line {
    let arcs = view.map_or(0, |view| view.arcs.len());
    let unprotected = view.map_or(0, ClusterView::unprotected);
    let (ink, word) = match unprotected {
        0 if arcs > 0 => (Ink::Green, "every arc has its backup".to_owned()),
        _ => (Ink::Red, format!("{unprotected} unprotected")),
    };
    Line::default()
        .with(Ink::Plain, "protected  ")
        .with(ink, bar((arcs - unprotected) as u64, arcs as u64, BAR))
        .with(Ink::Plain, format!("  {} of {arcs} arcs   ", arcs - unprotected))
        .with(ink, word)
}

fn plan(scene: &Scene<'_>) -> Line {
    let mut line = Line::default().with(Ink::Plain, "plan       ");
    for (position, step) in scene.steps.iter().enumerate() {
        let (ink, mark) = if position < scene.done { (Ink::Dim, "✓ ") } else { (Ink::Plain, "") };
        let text = format!("{mark}{} {} {} s", step.deed.word(), step.node, step.at.as_secs_f64());
        line = line.with(ink, text).with(Ink::Dim, if position + 1 < scene.steps.len() { " · " } else { "" });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| line.render(100, false) + "\n").collect()
    }

    fn scene<'a>(view: &'a ClusterView, curve: &'a [u64]) -> Scene<'a> {
        let node = |name: &str, health, ops| (name.to_owned(), health, ops);
        Scene {
            elapsed: Duration::from_millis(6_300),
            run_for: Duration::from_secs(20),
            sessions: 1000,
            nodes: vec![node("a", Health::Dead, 0), node("b", Health::Up, 400), node("c", Health::Up, 200)],
            view: Some(view),
            steps: &[],
            done: 0,
            counts: (12, 3, 1),
            wrong: Wrong::default(),
            curve,
            events: vec![Event { at: Duration::from_secs(5), what: "killed a".to_owned(), node: None }],
        }
    }

    #[test]
    fn the_ring_shows_each_node_its_share_and_its_links() {
        let view = view(5, &[("b", "1"), ("c", "2")], &[("b", "c"), ("b", "c"), ("c", "b"), ("b", "")]);
        let picture = text(&draw(&scene(&view, &[1, 600, 0])));
        for part in [
            "6.3 s of 20 s   view 5   1000 sessions   600 ops/s",
            " ╭▶ a  DEAD    serves    0  guards    0  ░░░░░░░░░░░░░░░░░░░░       0 ops/s",
            " │  b  up      serves    3  guards    1  ████████████████████     400 ops/s",
            " │  ↓  2 → c",
            " ╰─ c  up      serves    1  guards    2  ██████████░░░░░░░░░░     200 ops/s",
            "    ↺  1 → b",
            "3 of 4 arcs   1 unprotected",
            "acknowledged 12  sent again 3  failed 1   lost 0  duplicated 0  stale 0",
            "  5.000 s  killed a",
        ] {
            assert!(picture.contains(part), "{part:?} in\n{picture}");
        }
    }

    #[test]
    fn the_picture_keeps_its_height_and_fits_its_width() {
        let view = view(5, &[("b", "1"), ("c", "2")], &[("b", "c")]);
        let mut many = scene(&view, &[]);
        let few = draw(&many).len();
        many.events = vec![many.events[0].clone(); 50];
        let lines = draw(&many);
        assert_eq!(lines.len(), few);
        for line in &lines {
            let (whole, narrow) = (line.render(1_000, false), line.render(30, false));
            let cut = whole.chars().count() > 30;
            assert!(narrow.chars().count() <= 30 && narrow.ends_with('…') == cut, "{narrow:?} of {whole:?}");
            assert_eq!(line.render(0, false), "");
        }
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let view = view(5, &[("b", "1")], &[("b", "")]);
        let lines = draw(&scene(&view, &[]));
        assert!(!text(&lines).contains('\x1b'));
        assert!(lines.iter().any(|line| line.render(80, true).contains("\x1b[1;31mDEAD")));
    }

    #[test]
    fn before_the_first_view_there_is_a_picture_too() {
        let nothing = view(0, &[], &[]);
        let mut empty = scene(&nothing, &[]);
        empty.view = None;
        empty.nodes.clear();
        assert!(text(&draw(&empty)).contains("view 0"));
    }
}
