//! The secret that the nodes of one cluster share, and the environment that may give it.
//!
//! A secret is never shown: not by `Debug`, not in an error, not in the digest of the configuration.

use std::{env, ffi::OsString, fmt};

/// The longest secret, in bytes.
pub const SECRET_MAX: usize = 4_096;

/// What proves to a node that the other end belongs to its cluster. The key of the handshake's HMAC, as bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes a secret of 1 to 4,096 bytes that is not all white space; `None` for anything else.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let fits = !secret.trim().is_empty() && secret.len() <= SECRET_MAX;
        fits.then(|| Self(secret.as_bytes().into()))
    }

    /// The bytes; for the handshake only.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The two variables that a node looks at, so that a secret need not lie in a file nor a name in a start script.
///
/// `RINGHEIR_SECRET` goes before `secret` and `secret_file` of the cluster file, which may then be missing; `--name` goes
/// before `RINGHEIR_NAME`. A variable that is set but empty is a mistake and is refused, not passed over.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `RINGHEIR_SECRET`.
    pub secret: Option<OsString>,
    /// `RINGHEIR_NAME`.
    pub name: Option<OsString>,
}

impl Environment {
    /// The name of the variable that gives the secret.
    pub const SECRET: &'static str = "RINGHEIR_SECRET";
    /// The name of the variable that gives this node's name.
    pub const NAME: &'static str = "RINGHEIR_NAME";

    /// What this process was started with.
    #[must_use]
    pub fn of_process() -> Self {
        Self { secret: env::var_os(Self::SECRET), name: env::var_os(Self::NAME) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_empty_not_endless_and_never_shown() {
        assert_eq!(Secret::new(""), None);
        assert_eq!(Secret::new(" \n"), None);
        assert_eq!(Secret::new(&"s".repeat(SECRET_MAX + 1)), None);
        let secret = Secret::new("hush").expect("short enough");
        assert_eq!(secret.as_bytes(), b"hush");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
