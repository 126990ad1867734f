//! Asking a node over HTTP: whom, how, and what a view looks like from outside.
//!
//! What the subcommands that look (`status`, `view`, `arcs`) and the clients of `demo` have in common. Every question has a
//! deadline. Nothing here changes a cluster.

mod cluster_view;
mod http;
mod whom;

#[cfg(test)]
pub(crate) use self::cluster_view::test_views;
pub(crate) use self::{
    cluster_view::{ArcSeen, ClusterView, troubles, view_of},
    http::{HttpError, Peer, Request, Response},
    whom::{AskError, Whom, json_of, said},
};

use std::{
    fmt,
    io::{ErrorKind, Write as _, stderr, stdout},
    process::exit,
};

use crate::COULD_NOT_RUN;

/// Prints a result. Who reads only the beginning, as `head` does, has closed the pipe on purpose.
pub(crate) fn print(text: impl fmt::Display) {
    match stdout().write_all(text.to_string().as_bytes()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            tell(format_args!("the result cannot be written: {why}"));
            exit(i32::from(COULD_NOT_RUN));
        }
        _ => {}
    }
}

/// Prints a line of a result.
#[cfg(feature = "sim")]
pub(crate) fn line(text: impl fmt::Display) {
    print(format_args!("{text}\n"));
}

/// Says a line on stderr: progress, or what is wrong. Where nobody listens any more, the work goes on without.
pub(crate) fn tell(text: impl fmt::Display) {
    let _ = stderr().write_all(format!("{text}\n").as_bytes());
}

/// Rows of words, each column as wide as its widest cell; the first row is the heading.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// One with only a heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self(vec![heading.iter().map(|word| (*word).to_owned()).collect()])
    }

    /// Adds a row; `-` stands for what is empty, so that columns can be told apart by programs that split at spaces.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
        let widths: Vec<usize> =
            (0..columns).map(|column| self.0.iter().map(|row| cell(row, column)).max().unwrap_or(0)).collect();
        for row in &self.0 {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_columns_under_one_another() {
        let mut table = Table::new(&["node", "serves", "of"]);
        table.row(["a".to_owned(), "16".to_owned(), String::new()]);
        table.row(["longname".to_owned(), "7".to_owned(), "x".to_owned()]);
        assert_eq!(table.to_string(), "node      serves  of\na         16      -\nlongname  7       x\n");
    }
}
