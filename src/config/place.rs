//! Where in a cluster file something stands, and the line that shows it.
//!
//! Lines and columns count from 1, columns in characters. A line that may hold the secret is never shown.

use std::{fmt, ops::Range};

use super::key::Section;

/// A key, or with an empty name the header of its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The section.
    pub section: Section,
    /// Which `[[node]]`, from 0; 0 in other sections.
    pub node: usize,
    /// The key; empty for the section itself.
    pub key: &'static str,
}

impl Spot {
    pub(super) const FILE: Self = Self { section: Section::File, node: 0, key: "" };

    pub(super) const fn cluster(key: &'static str) -> Self {
        Self { section: Section::Cluster, node: 0, key }
    }

    pub(super) const fn limits(key: &'static str) -> Self {
        Self { section: Section::Limits, node: 0, key }
    }

    pub(super) const fn node(node: usize, key: &'static str) -> Self {
        Self { section: Section::Node, node, key }
    }

    /// The section that this key belongs to.
    pub(super) const fn header(self) -> Self {
        Self { key: "", ..self }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = match self.section {
            Section::File => String::new(),
            Section::Cluster => "cluster".to_owned(),
            Section::Limits => "cluster.limits".to_owned(),
            Section::Tls => "cluster.tls".to_owned(),
            Section::Node => format!("node[{}]", self.node),
        };
        match (section.as_str(), self.key) {
            ("", key) => f.write_str(key),
            (section, "") => f.write_str(section),
            (section, key) => write!(f, "{section}.{key}"),
        }
    }
}

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The most of one line that is shown, in characters, and how much of it goes before what is pointed at.
const SHOWN: usize = 120;
const SHOWN_BEFORE: usize = 60;

/// The offending line with its caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    line: usize,
    text: String,
    caret: Range<usize>,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.text)?;
        write!(f, "{gutter} | {}{}", " ".repeat(self.caret.start), "^".repeat(self.caret.len()))
    }
}

/// Finds the line and column of a byte offset; an offset past the end is the end.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    // Bytes of the form 10xxxxxx continue a character.
    let column = 1 + before[line_start..].iter().filter(|b| **b & 0xC0 != 0x80).count();
    Position { line, column }
}

/// Cuts out the line on which `span` begins; `None` when it may hold the secret.
pub(super) fn excerpt(text: &str, span: &Range<usize>) -> Option<Excerpt> {
    let Position { line, column } = position(text, span.start);
    let whole = text.split('\n').nth(line - 1).unwrap_or_default();
    let whole = whole.strip_suffix('\r').unwrap_or(whole);
    if whole.replace("secret_file", "").contains("secret") || whole.contains("password") {
        return None;
    }
    let start = if column > SHOWN { column - SHOWN_BEFORE } else { 0 };
    let shown: Vec<char> =
        whole.chars().skip(start).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let from = (column - 1).saturating_sub(start).min(shown.len());
    let long =
        text.get(span.clone()).map_or(1, |pointed| pointed.chars().take_while(|c| *c != '\n').take(SHOWN).count());
    let to = (from + long).min(shown.len()).max(from + 1);
    Some(Excerpt { line, text: shown.into_iter().collect::<String>().trim_end().to_owned(), caret: from..to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_an_offset_past_the_end_is_the_end() {
        let text = "a = 1\nüß = 2\n";
        assert_eq!(position(text, 0), Position { line: 1, column: 1 });
        assert_eq!(position(text, text.find('=').expect("there") + 8), Position { line: 2, column: 3 });
        assert_eq!(position(text, 999), Position { line: 3, column: 1 });
        assert_eq!(position("", 0), Position { line: 1, column: 1 });
    }

    #[test]
    fn a_long_line_is_cut_round_what_is_pointed_at() {
        let text = format!("{}HERE{}", "x".repeat(500), "y".repeat(500));
        let shown = excerpt(&text, &(500..504)).expect("no secret in it").to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= SHOWN + 4), "{shown}");
        let caret = lines[2].find('^').expect("a caret");
        assert_eq!(&lines[1][caret..caret + 4], "HERE");
        assert_eq!(lines[2].matches('^').count(), 4);
    }

    #[test]
    fn a_line_that_may_hold_the_secret_is_not_shown() {
        assert_eq!(excerpt("secret = 'x\n", &(9..11)), None);
        assert_eq!(excerpt("cluster = { secret = 1 }", &(21..22)), None);
        assert_eq!(excerpt("redis_password = 'x", &(17..19)), None);
        assert!(excerpt("secret_file = 1", &(14..15)).is_some());
    }
}
