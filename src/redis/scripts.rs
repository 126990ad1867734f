//! `Scripts`: which scripts a node knows by their digests, and what a call of one asks.
//!
//! Texts are not kept: what each of them does is known ([`KnownScript`]), and every other gets the error that says so.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

use super::{
    commands::{Do, Keyed, Request, Script, Tell, Wrong},
    frames::Reply,
    known_script::{KnownScript, digest_of},
};

/// Spellings of scripts that one node remembers.
const SPELLINGS_MAX: usize = 256;

const UNKNOWN: &str = "ERR scripts are not offered, but for those of locks and counters that are known by their text";
const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// The digests of scripts that clients have sent to this node.
#[derive(Debug, Default)]
pub(super) struct Scripts(Mutex<BTreeMap<String, KnownScript>>);

impl Scripts {
    /// What a call of a script asks.
    pub(super) fn called(&self, script: Script, keys: Vec<Bytes>, arguments: Vec<Bytes>) -> Result<Request, Wrong> {
        let known = match script {
            Script::Text(text) => self.keep(&text)?.1,
            Script::Digest(digest) => self.by_digest(&digest).ok_or(NO_SCRIPT)?,
        };
        let [key] = &keys[..] else { return Err("ERR this script is offered for one key".into()) };
        let change = Do::Change(known.change(&arguments)?);
        Ok(Request::Keyed(Keyed::One(key.clone(), change, Tell::Plain)))
    }

    /// Keeps a script; its digest.
    pub(super) fn load(&self, text: &[u8]) -> Result<String, Wrong> {
        self.keep(text).map(|(digest, _)| digest)
    }

    /// For each digest 1 if it is known, else 0.
    pub(super) fn known(&self, digests: &[Bytes]) -> Reply {
        let known = |digest: &Bytes| Reply::Number(i64::from(self.by_digest(digest).is_some()));
        Reply::List(digests.iter().map(known).collect())
    }

    /// Forgets what clients have sent.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn keep(&self, text: &[u8]) -> Result<(String, KnownScript), Wrong> {
        let known = KnownScript::by_text(text).ok_or(UNKNOWN)?;
        let digest = digest_of(text);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SPELLINGS_MAX && !kept.contains_key(&digest) {
            kept.pop_first();
        }
        kept.insert(digest.clone(), known);
        Ok((digest, known))
    }

    fn by_digest(&self, digest: &[u8]) -> Option<KnownScript> {
        let digest = String::from_utf8_lossy(digest).to_ascii_lowercase();
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).copied();
        KnownScript::by_digest(&digest).or_else(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::keys::Change;

    const PHP: &str =
        r#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#;
    const PHPS: &str = "b70c2384248f88e6b75b9f89241a180f856ad852";

    #[test]
    fn what_was_sent_once_is_known_by_its_digest_until_it_is_forgotten() {
        let scripts = Scripts::default();
        assert_eq!(scripts.load(PHP.as_bytes()).expect("known"), PHPS);
        let spread = PHP.replace(' ', "\n   ");
        let digest = scripts.load(spread.as_bytes()).expect("known");
        assert_ne!(digest, PHPS);
        assert_eq!(scripts.by_digest(digest.to_uppercase().as_bytes()), Some(KnownScript::Release));
        assert_eq!(scripts.load(b"return 1"), Err(UNKNOWN.into()));
        scripts.forget();
        assert_eq!(scripts.by_digest(digest.as_bytes()), None);
        assert_eq!(scripts.by_digest(PHPS.as_bytes()), Some(KnownScript::Release), "that of a library is always known");
    }

    #[test]
    fn spellings_are_bounded() {
        let scripts = Scripts::default();
        for blanks in 0..SPELLINGS_MAX + 10 {
            scripts.load(format!("{PHP}{}", " ".repeat(blanks)).as_bytes()).expect("known");
        }
        assert_eq!(scripts.0.lock().expect("unpoisoned").len(), SPELLINGS_MAX);
    }

    #[test]
    fn a_call_names_one_key_and_what_the_script_takes() {
        let scripts = Scripts::default();
        let called = |keys: &[&'static str], arguments: &[&'static str]| {
            let bytes = |list: &[&'static str]| list.iter().map(|one| Bytes::from_static(one.as_bytes())).collect();
            scripts.called(Script::Digest(Bytes::from_static(PHPS.as_bytes())), bytes(keys), bytes(arguments))
        };
        let one = Keyed::One("k".into(), Do::Change(Change::DeleteIf("v".into())), Tell::Plain);
        assert_eq!(called(&["k"], &["v"]), Ok(Request::Keyed(one)));
        assert!(called(&[], &["v"]).is_err());
        assert!(called(&["k", "l"], &["v"]).is_err());
        assert!(called(&["k"], &[]).is_err());
        let other = scripts.called(Script::Digest(Bytes::from_static(b"00")), vec![], vec![]);
        assert_eq!(other, Err(NO_SCRIPT.into()));
    }
}
