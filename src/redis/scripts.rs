//! The scripts that are offered: those by which lock libraries release what they hold, and only if they still hold it.
//!
//! There is no interpreter. A script is known by its text, white space, quotes and case aside; what it does is one commit to one
//! key, as Redis would do it. Every other one gets the error that says so.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::{
    commands::{Do, Keyed, Request, Script, Tell, Wrong},
    frames::Reply,
    keys::Change,
};

/// Spellings of a script that one node remembers.
const SPELLINGS_MAX: usize = 256;
/// The longest script that is looked at.
const TEXT_MAX: usize = 4 << 10;

/// Deletes `KEYS[1]` if it holds `ARGV[1]`: as one expression, which PHP's session handler and most libraries send, and as
/// redis-py's `Lock` does.
const RELEASE: [&str; 2] = [
    "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('del',keys[1])elsereturn0end",
    "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0endredis.call('del',keys[1])return1",
];

/// The digests of those that clients call before they have ever sent the text.
const KNOWN: [&str; 1] = ["b70c2384248f88e6b75b9f89241a180f856ad852"];

const UNKNOWN: &str = "ERR scripts are not offered, but for the one that deletes a key if it has this value";
const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// The digests of scripts that clients have sent to this node.
#[derive(Debug, Default)]
pub(super) struct Scripts(Mutex<BTreeSet<String>>);

impl Scripts {
    /// What a call of a script asks.
    pub(super) fn called(&self, script: Script, keys: Vec<Bytes>, arguments: Vec<Bytes>) -> Result<Request, Wrong> {
        match script {
            Script::Text(text) => {
                self.load(&text)?;
            }
            Script::Digest(digest) if self.knows(&digest) => {}
            Script::Digest(_) => return Err(NO_SCRIPT.into()),
        }
        let ([key], [value, ..]) = (&keys[..], &arguments[..]) else {
            return Err("ERR this script takes one key and its value".into());
        };
        let change = Do::Change(Change::DeleteIf(value.clone()));
        Ok(Request::Keyed(Keyed::One(key.clone(), change, Tell::Plain)))
    }

    /// Keeps a script; its digest.
    pub(super) fn load(&self, text: &[u8]) -> Result<String, Wrong> {
        if !RELEASE.contains(&plain(text).as_str()) {
            return Err(UNKNOWN.into());
        }
        let digest: String = Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SPELLINGS_MAX && !known.contains(&digest) {
            known.pop_first();
        }
        known.insert(digest.clone());
        Ok(digest)
    }

    /// For each digest 1 if it is known, else 0.
    pub(super) fn known(&self, digests: &[Bytes]) -> Reply {
        Reply::List(digests.iter().map(|digest| Reply::Number(i64::from(self.knows(digest)))).collect())
    }

    /// Forgets what clients have sent.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn knows(&self, digest: &[u8]) -> bool {
        let digest = String::from_utf8_lossy(digest).to_ascii_lowercase();
        KNOWN.contains(&digest.as_str()) || self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest)
    }
}

/// A script without what does not matter.
fn plain(text: &[u8]) -> String {
    if text.len() > TEXT_MAX {
        return String::new();
    }
    let text = String::from_utf8_lossy(text).to_ascii_lowercase().replace('"', "'");
    text.chars().filter(|c| !c.is_whitespace() && *c != ';').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHP: &str =
        r#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#;

    #[test]
    fn the_script_of_a_lock_is_known_however_it_is_written_and_no_other() {
        let scripts = Scripts::default();
        assert_eq!(scripts.load(PHP.as_bytes()).expect("known"), KNOWN[0]);
        let spread = PHP.replace(' ', "\n   ").replace('"', "'").replace("get", "GET");
        let digest = scripts.load(spread.as_bytes()).expect("known");
        assert_ne!(digest, KNOWN[0]);
        assert!(scripts.knows(digest.to_uppercase().as_bytes()));
        let python = "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('del', KEYS[1])
        return 1
    ";
        assert!(scripts.load(python.as_bytes()).is_ok());
        assert!(scripts.load(b"return redis.call('del', KEYS[1])").is_err());
        assert!(scripts.load(&vec![b' '; 1 << 20]).is_err());
        scripts.forget();
        assert!(!scripts.knows(digest.as_bytes()) && scripts.knows(KNOWN[0].as_bytes()));
    }

    #[test]
    fn a_call_names_one_key_and_a_value() {
        let scripts = Scripts::default();
        let called = |keys: &[&'static str], arguments: &[&'static str]| {
            let bytes = |list: &[&'static str]| list.iter().map(|one| Bytes::from_static(one.as_bytes())).collect();
            scripts.called(Script::Digest(Bytes::from_static(KNOWN[0].as_bytes())), bytes(keys), bytes(arguments))
        };
        assert!(matches!(called(&["k"], &["v"]), Ok(Request::Keyed(Keyed::One(..)))));
        assert!(called(&[], &["v"]).is_err());
        assert!(called(&["k"], &[]).is_err());
        let other = scripts.called(Script::Digest(Bytes::from_static(b"00")), vec![], vec![]);
        assert_eq!(other, Err(NO_SCRIPT.into()));
    }
}
