//! `Registry`: the session types a running node knows.
//!
//! It is read with every command and written a few times in a process's life, so readers share an unchanging map and a
//! registration puts a new one in its place (RING-20: types are registered on a running node). Types are never removed.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, Guard};

use super::{Clash, Kind, Types};
use crate::{
    error::{Error, ErrorKind},
    membership::KindVersion,
};

/// By name.
pub(crate) type Kinds = BTreeMap<&'static str, Arc<dyn Kind>>;

/// What of a registered type lives on the primary alone, and is gone or rebuilt when another node takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreplicated {
    /// The type's kind.
    pub kind: &'static str,
    /// Fields that the type says serde skips (`Session::UNREPLICATED`): `Session::loaded` rebuilds them.
    pub fields: &'static [&'static str],
    /// Whether nothing at all of its sessions is copied (registered with `not_copied`).
    pub whole: bool,
}

/// All registered session types, by name.
#[derive(Default)]
pub(crate) struct Registry {
    kinds: ArcSwap<Kinds>,
    /// Held while a registration looks for clashes and then writes.
    writing: Mutex<()>,
}

impl Registry {
    /// Adds all of `types`, or none. Commands that arrive from now on find them.
    pub(crate) fn register(&self, types: Types) -> Result<(), Clash> {
        if let Some(clash) = types.clashes().first() {
            return Err(clash.clone());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = Kinds::clone(&self.kinds.load());
        for kind in types.kinds {
            let name = kind.name();
            if kinds.insert(name, kind.into()).is_some() {
                return Err(Clash::Kind { kind: name });
            }
        }
        self.kinds.store(Arc::new(kinds));
        Ok(())
    }

    /// All of them as they are now, for whoever looks up several.
    pub(crate) fn look(&self) -> Guard<Arc<Kinds>> {
        self.kinds.load()
    }

    /// The kind of that name. A worker may keep it: a kind never changes once registered.
    pub(crate) fn kind(&self, name: &str) -> Result<Arc<dyn Kind>, Error> {
        self.kinds.load().get(name).cloned().ok_or_else(|| ErrorKind::NoSuchKind { kind: name.to_owned() }.into())
    }

    /// What is kept on primaries alone.
    pub(crate) fn unreplicated(&self) -> Vec<Unreplicated> {
        let kinds = self.kinds.load();
        let of = |kind: &Arc<dyn Kind>| Unreplicated {
            kind: kind.name(),
            fields: kind.unreplicated(),
            whole: !kind.is_copied(),
        };
        kinds.values().map(of).filter(|what| what.whole || !what.fields.is_empty()).collect()
    }

    /// What this node tells the others that it can host.
    pub(crate) fn kind_versions(&self) -> Vec<KindVersion> {
        let kinds = self.kinds.load();
        kinds.values().map(|kind| KindVersion { kind: kind.name().to_owned(), version: kind.version() }).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.load().keys()).finish()
    }
}
