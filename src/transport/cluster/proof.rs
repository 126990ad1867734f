//! Proving that one knows the cluster's secret, without saying it.
//!
//! Each side proves itself with HMAC-SHA256 over the exact bytes of both introductions: both fresh nonces, both node ids,
//! cluster, versions, lane and link are in them, and the proof names the role of its maker. So a proof is good for one
//! connection, one direction and one lane; replayed or reflected it is worth nothing. The dialler proves itself first: anyone
//! may connect, but only a configured address is dialled. Nothing after the handshake is protected by it; that is for TLS.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::wire::handshake::Proof;

/// Keys drawn from the cluster's secret, one for each use.
#[derive(Clone)]
pub(crate) struct Keys {
    proof: [u8; 32],
    /// For the heartbeat socket.
    pub(super) heartbeat: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Who makes a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Dialler,
    Acceptor,
}

/// The first two frames of one handshake, as they went over the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transcript<'a> {
    pub(super) hello: &'a [u8],
    pub(super) welcome: &'a [u8],
}

impl Keys {
    /// From the secret and the name of the cluster.
    pub(super) fn new(secret: &[u8], cluster: &str) -> Self {
        let derive = |label| mac(secret, &[label, cluster.as_bytes()]).finalize().into_bytes().into();
        Self { proof: derive(b"ringheir proof 1"), heartbeat: derive(b"ringheir heartbeat 1") }
    }

    /// The proof that `role` gives for this handshake.
    pub(super) fn prove(&self, role: Role, transcript: Transcript<'_>) -> Proof {
        Proof(self.over(label(role), transcript).finalize().into_bytes().into())
    }

    /// Checks the other side's proof in constant time.
    pub(super) fn check(&self, role: Role, transcript: Transcript<'_>, proof: &Proof) -> bool {
        self.over(label(role), transcript).verify_slice(&proof.0).is_ok()
    }

    /// A key that only the two ends of this connection know, for `purpose`.
    pub(super) fn session(&self, purpose: &[u8], transcript: Transcript<'_>) -> [u8; 32] {
        self.over(purpose, transcript).finalize().into_bytes().into()
    }

    fn over(&self, label: &[u8], transcript: Transcript<'_>) -> Hmac<Sha256> {
        mac(&self.proof, &[label, transcript.hello, transcript.welcome])
    }
}

fn label(role: Role) -> &'static [u8] {
    match role {
        Role::Dialler => b"dialler",
        Role::Acceptor => b"acceptor",
    }
}

/// HMAC over the parts, each with its length before it, so that no two lists of parts give the same bytes.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_role_its_transcript_and_its_secret_only() {
        let keys = Keys::new(b"secret", "shop");
        let transcript = Transcript { hello: b"hello", welcome: b"welcome" };
        let proof = keys.prove(Role::Dialler, transcript);
        assert!(keys.check(Role::Dialler, transcript, &proof));
        assert!(!keys.check(Role::Acceptor, transcript, &proof), "reflected");
        for other in [
            Transcript { hello: b"hellp", ..transcript },
            Transcript { welcome: b"welcomf", ..transcript },
            Transcript { hello: b"hellow", welcome: b"elcome" },
        ] {
            assert!(!keys.check(Role::Dialler, other, &proof), "replayed into {other:?}");
        }
        assert!(!Keys::new(b"other", "shop").check(Role::Dialler, transcript, &proof));
        assert!(!Keys::new(b"secret", "bank").check(Role::Dialler, transcript, &proof));
    }
}
