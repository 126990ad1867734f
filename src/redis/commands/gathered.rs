//! `Gathered`: the requests between `MULTI` and `EXEC`, in their order: what keys are asked, and what is said beside it.
//!
//! Nothing of it is done before all of it is. What the commit does to keys and what the connection answers by itself (`PING`,
//! `SELECT`, `TIME`, …) are kept apart, each with its place among the replies; a database that is selected holds for what follows.

use super::request::{Keyed, Request};

/// Requests that one transaction gathers.
pub(crate) const REQUESTS_MAX: usize = 4_096;
/// Bytes of what they write. One commit could not carry more, whatever `limits.frame` says.
pub(crate) const BYTES_MAX: usize = 16 << 20;

/// A transaction that is being gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gathered {
    /// For keys, each with its database.
    pub(crate) keyed: Vec<(u8, Keyed)>,
    /// For the connection, each with its place among all.
    pub(crate) beside: Vec<(usize, Request)>,
    /// What was selected last.
    database: u8,
    bytes: usize,
    is_broken: bool,
}

/// It takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many requests.
    Requests,
    /// Too much in them.
    Bytes,
}

impl Gathered {
    /// None yet, of a connection that has selected this database.
    pub(crate) fn within(database: u8) -> Self {
        Self { database, ..Self::default() }
    }

    /// One more for keys.
    ///
    /// # Errors
    /// It takes no more, and is broken by that.
    pub(crate) fn add(&mut self, keyed: Keyed) -> Result<(), Full> {
        self.bytes = self.bytes.saturating_add(keyed.bytes());
        self.has_room()?;
        self.keyed.push((self.database, keyed));
        Ok(())
    }

    /// One more for the connection.
    ///
    /// # Errors
    /// It takes no more, and is broken by that.
    pub(crate) fn add_beside(&mut self, request: Request) -> Result<(), Full> {
        self.has_room()?;
        if let Request::Select(database) = request {
            self.database = database;
        }
        self.beside.push((self.keyed.len() + self.beside.len(), request));
        Ok(())
    }

    /// It is not to be carried out: something in it was wrong.
    pub(crate) fn spoil(&mut self) {
        *self = Self { is_broken: true, ..Self::within(self.database) };
    }

    /// Whether something in it was wrong.
    pub(crate) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn has_room(&mut self) -> Result<(), Full> {
        let full = if self.keyed.len() + self.beside.len() >= REQUESTS_MAX {
            Full::Requests
        } else if self.bytes > BYTES_MAX {
            Full::Bytes
        } else {
            return Ok(());
        };
        self.spoil();
        Err(full)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::redis::keys::Change;

    fn append(bytes: usize) -> Keyed {
        let Request::Keyed(keyed) = Request::change("k".into(), Change::Append(Bytes::from(vec![b'x'; bytes]))) else {
            unreachable!("a change is keyed")
        };
        keyed
    }

    #[test]
    fn each_request_keeps_its_place_and_its_database() {
        let mut gathered = Gathered::within(1);
        gathered.add(append(1)).expect("room");
        gathered.add_beside(Request::Select(2)).expect("room");
        gathered.add_beside(Request::Ping(None)).expect("room");
        gathered.add(append(1)).expect("room");
        assert_eq!(gathered.keyed.iter().map(|(database, _)| *database).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(gathered.beside.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn what_is_gathered_is_bounded_and_forgotten_once_it_is_too_much() {
        let mut gathered = Gathered::within(0);
        for _ in 0..16 {
            gathered.add(append((1 << 20) - 1)).expect("room");
        }
        assert_eq!(gathered.add(append(1 << 20)), Err(Full::Bytes));
        assert!(gathered.is_broken() && gathered.keyed.is_empty());
        let mut gathered = Gathered::within(0);
        for _ in 0..REQUESTS_MAX {
            gathered.add_beside(Request::Ping(None)).expect("room");
        }
        assert_eq!(gathered.add(append(1)), Err(Full::Requests));
    }
}
