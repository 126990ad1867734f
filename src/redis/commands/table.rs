//! Every command that is offered: its name, how many strings it takes, and how it is read.

use super::{
    super::frames::Reply,
    arguments::{Arguments, Wrong},
    hashes, keys,
    request::Request,
    server, strings,
};

/// One command.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Strings, its name among them; negative: at least so many.
    arity: i64,
    /// What clients and proxies want to know of it.
    flags: &'static [&'static str],
    /// Where its keys stand: the first, the last (from the end, if negative), and how far one is from the next.
    keys: (i64, i64, i64),
    summary: &'static str,
    /// Reads what follows the name.
    read: fn(&mut Arguments) -> Result<Request, Wrong>,
}

const NONE: (i64, i64, i64) = (0, 0, 0);
const ONE: (i64, i64, i64) = (1, 1, 1);
const ALL: (i64, i64, i64) = (1, -1, 1);
const READ: &[&str] = &["readonly", "fast"];
const SLOW: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write", "denyoom"];
const FREE: &[&str] = &["write", "fast"];
const TALK: &[&str] = &["loading", "stale", "fast"];
const SCRIPT: &[&str] = &["noscript", "movablekeys"];
const CHANNEL: &[&str] = &["pubsub", "noscript", "loading", "stale"];

macro_rules! commands {
    ($($name:literal $arity:literal $flags:ident $keys:ident $read:path, $summary:literal;)*) => {
        /// Every command, by name.
        pub(crate) const COMMANDS: &[Spec] = &[
            $(Spec { name: $name, arity: $arity, flags: $flags, keys: $keys, summary: $summary, read: $read }),*
        ];
    };
}

const PAIRS: (i64, i64, i64) = (1, -1, 2);
const TWO: (i64, i64, i64) = (1, 2, 1);

commands! {
    "append" 3 WRITE ONE strings::append, "Appends to a string.";
    "auth" -2 TALK NONE server::auth, "Says the password.";
    "client" -2 TALK NONE server::client, "Names a connection, and tells of it.";
    "command" -1 TALK NONE server::command, "Tells of commands.";
    "config" -2 TALK NONE server::config, "Tells of the server.";
    "dbsize" 1 SLOW NONE keys::dbsize, "Counts the keys of the database, over all nodes.";
    "decr" 2 WRITE ONE strings::decr, "Takes one from a number.";
    "decrby" 3 WRITE ONE strings::decrby, "Takes from a number.";
    "del" -2 FREE ALL keys::del, "Deletes keys.";
    "discard" 1 TALK NONE server::discard, "Forgets a transaction.";
    "echo" 2 TALK NONE server::echo, "Says the same.";
    "eval" -3 SCRIPT NONE server::eval, "Runs one of the scripts that are known.";
    "evalsha" -3 SCRIPT NONE server::evalsha, "Runs one of them by its digest.";
    "exec" 1 TALK NONE server::exec, "Carries out a transaction: one commit.";
    "exists" -2 READ ALL keys::exists, "Counts which of the keys exist.";
    "expire" -3 FREE ONE keys::expire, "Sets a key's end, in seconds from now.";
    "expireat" -3 FREE ONE keys::expireat, "Sets a key's end as a date in seconds.";
    "expiretime" 2 READ ONE keys::expiretime, "Tells a key's end as a date in seconds.";
    "flushall" -1 FREE NONE keys::flushall, "Deletes all keys, over all nodes.";
    "flushdb" -1 FREE NONE keys::flushdb, "Deletes all keys of the database, over all nodes.";
    "get" 2 READ ONE strings::get, "Tells a string.";
    "getdel" 2 FREE ONE strings::getdel, "Tells a string and deletes it.";
    "getex" -2 FREE ONE strings::getex, "Tells a string and sets its end.";
    "getset" 3 WRITE ONE strings::getset, "Sets a string and tells what was there.";
    "hdel" -3 FREE ONE hashes::hdel, "Deletes fields of a hash.";
    "hello" -1 TALK NONE server::hello, "Says which protocol is spoken.";
    "hexists" 3 READ ONE hashes::hexists, "Tells whether a hash has a field.";
    "hget" 3 READ ONE hashes::hget, "Tells a field of a hash.";
    "hgetall" 2 SLOW ONE hashes::hgetall, "Tells a hash.";
    "hincrby" 4 WRITE ONE hashes::hincrby, "Adds to a number in a field.";
    "hkeys" 2 SLOW ONE hashes::hkeys, "Tells a hash's fields.";
    "hlen" 2 READ ONE hashes::hlen, "Counts a hash's fields.";
    "hmget" -3 READ ONE hashes::hmget, "Tells some fields of a hash.";
    "hmset" -4 WRITE ONE hashes::hmset, "Sets fields of a hash.";
    "hscan" -3 SLOW ONE hashes::hscan, "Tells fields of a hash, all on one page.";
    "hset" -4 WRITE ONE hashes::hset, "Sets fields of a hash, and counts the new ones.";
    "hsetnx" 4 WRITE ONE hashes::hsetnx, "Sets a field that there is not.";
    "hstrlen" 3 READ ONE hashes::hstrlen, "Tells how long a field's value is.";
    "hvals" 2 SLOW ONE hashes::hvals, "Tells a hash's values.";
    "incr" 2 WRITE ONE strings::incr, "Adds one to a number.";
    "incrby" 3 WRITE ONE strings::incrby, "Adds to a number.";
    "info" -1 TALK NONE server::info, "Tells of the node.";
    "keys" 2 SLOW NONE keys::keys, "Tells all keys that match, over all nodes.";
    "mget" -2 READ ALL strings::mget, "Tells several strings.";
    "mset" -3 WRITE PAIRS strings::mset, "Sets several strings: those of one arc in one commit.";
    "multi" 1 TALK NONE server::multi, "Begins a transaction.";
    "persist" 2 FREE ONE keys::persist, "Takes a key's end away.";
    "pexpire" -3 FREE ONE keys::pexpire, "Sets a key's end, in milliseconds from now.";
    "pexpireat" -3 FREE ONE keys::pexpireat, "Sets a key's end as a date in milliseconds.";
    "pexpiretime" 2 READ ONE keys::pexpiretime, "Tells a key's end as a date in milliseconds.";
    "ping" -1 TALK NONE server::ping, "Answers.";
    "psetex" 4 WRITE ONE strings::psetex, "Sets a string that ends, in milliseconds.";
    "psubscribe" -2 CHANNEL NONE server::subscribe, "Listens; nothing is ever said.";
    "pttl" 2 READ ONE keys::pttl, "Tells what is left of a key's time, in milliseconds.";
    "publish" 3 CHANNEL NONE server::publish, "Reaches nobody, and says so.";
    "punsubscribe" -1 CHANNEL NONE server::unsubscribe, "Listens no more.";
    "quit" -1 TALK NONE server::quit, "Closes the connection.";
    "rename" 3 WRITE TWO keys::rename, "Gives a key another name.";
    "reset" 1 TALK NONE server::reset, "Begins anew.";
    "role" 1 TALK NONE server::role, "Tells that this node takes writes.";
    "scan" -2 SLOW NONE keys::scan, "Tells keys page by page, over all nodes.";
    "script" -2 SCRIPT NONE server::script, "Loads one of the scripts that are known.";
    "select" 2 TALK NONE server::select, "Chooses a database.";
    "set" -3 WRITE ONE strings::set, "Sets a string.";
    "setex" 4 WRITE ONE strings::setex, "Sets a string that ends, in seconds.";
    "setnx" 3 WRITE ONE strings::setnx, "Sets a string where there is no key.";
    "strlen" 2 READ ONE strings::strlen, "Tells how long a string is.";
    "subscribe" -2 CHANNEL NONE server::subscribe, "Listens; nothing is ever said.";
    "time" 1 TALK NONE server::time, "Tells the date.";
    "touch" -2 READ ALL keys::exists, "Counts which of the keys exist.";
    "ttl" 2 READ ONE keys::ttl, "Tells what is left of a key's time, in seconds.";
    "type" 2 READ ONE keys::type_of, "Tells the type of a value.";
    "unlink" -2 FREE ALL keys::del, "Deletes keys.";
    "unsubscribe" -1 CHANNEL NONE server::unsubscribe, "Listens no more.";
    "unwatch" 1 TALK NONE server::unwatch, "Watches nothing.";
    "wait" 3 TALK NONE server::wait, "Tells how many copies have what was written.";
    "watch" -2 TALK ALL server::watch, "Makes the next transaction depend on keys.";
}

/// The command of that name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    let lower = || name.iter().map(u8::to_ascii_lowercase);
    COMMANDS.binary_search_by(|spec| spec.name.bytes().cmp(lower())).ok().map(|at| &COMMANDS[at])
}

impl Spec {
    /// Whether so many strings, its name among them, are what it takes.
    pub(super) const fn takes(&self, strings: usize) -> bool {
        if self.arity < 0 {
            strings as u64 >= self.arity.unsigned_abs()
        } else {
            strings as u64 == self.arity.unsigned_abs()
        }
    }

    /// Reads what follows its name.
    pub(super) fn read(&self, arguments: &mut Arguments) -> Result<Request, Wrong> {
        (self.read)(arguments)
    }

    /// As `COMMAND` tells it.
    pub(super) fn describe(&self) -> Reply {
        let (first, last, step) = self.keys;
        let flags = self.flags.iter().map(|flag| Reply::Status(flag)).collect();
        Reply::List(vec![
            Reply::bytes(self.name),
            Reply::Number(self.arity),
            Reply::List(flags),
            Reply::Number(first),
            Reply::Number(last),
            Reply::Number(step),
            Reply::List(Vec::new()),
            Reply::List(Vec::new()),
            Reply::List(Vec::new()),
            Reply::List(Vec::new()),
        ])
    }

    /// As `COMMAND DOCS` tells it.
    pub(super) fn document(&self) -> (Reply, Reply) {
        (Reply::bytes(self.name), Reply::Map(vec![(Reply::bytes("summary"), Reply::bytes(self.summary))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_the_order_in_which_they_are_sought() {
        assert!(COMMANDS.is_sorted_by(|one, next| one.name < next.name));
        assert_eq!(find(b"GeT").map(|spec| spec.name), Some("get"));
        assert!(find(b"nonsense").is_none());
    }
}
