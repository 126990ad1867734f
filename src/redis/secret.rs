//! `Password`: what a client has to say first.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A password, kept as its digest: comparing takes as long whatever was said, however long that is.
#[derive(Clone)]
pub(super) struct Password([u8; 32]);

impl Password {
    /// What clients have to say.
    pub(super) fn new(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// Whether it is this.
    pub(super) fn is(&self, said: &[u8]) -> bool {
        let said: [u8; 32] = Sha256::digest(said).into();
        self.0.ct_eq(&said).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
