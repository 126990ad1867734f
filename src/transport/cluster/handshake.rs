//! The handshake itself, from either end, over a fresh connection. See `wire/handshake.rs` for the words.
//!
//! It reads exactly its own frames and not a byte more, because the connection is then given to whoever carries the lane. It
//! sets no deadline: both callers put one around the whole of it. Until the proof is checked it changes nothing in this node;
//! what an unauthenticated end can make it hold is one handshake frame.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use super::{
    Core,
    link::Link,
    proof::{Role, Transcript},
};
use crate::{
    id::NodeName,
    transport::{Lane, Peer, Refusal},
    wire::{
        frame,
        handshake::{Hello, Introduction, Kind, Proof, VERSIONS, Welcome, decode, encode},
    },
};

/// What a finished handshake gives.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) link: Arc<Link>,
    pub(super) lane: Lane,
    /// A key that only the two ends know.
    pub(super) session_key: [u8; 32],
}

/// Whom the dialler means to reach and for what.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    /// The first connection of a new link.
    Control { name: NodeName, replaces: Option<u128> },
    /// The second one.
    Data(Arc<Link>),
}

/// The dialler's side.
pub(super) async fn dial(core: &Arc<Core>, stream: &mut TcpStream, dial: &Dial) -> Result<Agreed, Refusal> {
    let (to, link, replaces) = match dial {
        Dial::Control { name, replaces } => (*name, Uuid::new_v4().as_u128(), *replaces),
        Dial::Data(link) => (link.peer.node.name, link.id, None),
    };
    let hello = Hello { from: introduction(core), to, data: matches!(dial, Dial::Data(_)), link, replaces };
    let hello = encode(Kind::Hello, &hello);
    write(stream, &hello).await?;
    let welcome_bytes = read(core, stream).await?;
    let welcome: Welcome = decode(Kind::Welcome, &welcome_bytes)?;
    let them = check(core, welcome.from)?;
    if them.node.name != to {
        return Err(Refusal::OtherName { theirs: them.node.name });
    }
    let transcript = Transcript { hello: &hello, welcome: &welcome_bytes };
    let link = match dial {
        Dial::Control { .. } => {
            core.inbound.admit(them.node)?;
            let link = core.new_link(link, them, true, transcript);
            // From here on the pair is ours to this link, so the other's dial cannot cross it unseen.
            core.links.commit(&link, None)?;
            link
        }
        Dial::Data(link) if link.peer.node == them.node => Arc::clone(link),
        Dial::Data(_) => return Err(Refusal::Closed),
    };
    let proved = prove(core, stream, transcript).await;
    if let Err(refusal) = proved {
        link.close();
        return Err(refusal);
    }
    let lane = if matches!(dial, Dial::Data(_)) { Lane::Data } else { Lane::Control };
    link.keep(stream);
    Ok(Agreed { link, lane, session_key: core.keys.session(b"session", transcript) })
}

async fn prove(core: &Core, stream: &mut TcpStream, transcript: Transcript<'_>) -> Result<(), Refusal> {
    write(stream, &encode(Kind::Proof, &core.keys.prove(Role::Dialler, transcript))).await?;
    let theirs: Proof = decode(Kind::Accepted, &read(core, stream).await?)?;
    if core.keys.check(Role::Acceptor, transcript, &theirs) { Ok(()) } else { Err(Refusal::WrongSecret) }
}

/// The acceptor's side. A refusal has been sent to the dialler, where it could be of use to it.
pub(super) async fn accept(core: &Arc<Core>, stream: &mut TcpStream) -> Result<Agreed, Refusal> {
    let agreed = answer(core, stream).await;
    if let Err(refusal) = &agreed {
        // To something that does not speak the protocol, silence says as much and costs less.
        if !matches!(refusal, Refusal::Garbage | Refusal::Closed) {
            let _ = write(stream, &encode(Kind::Refused, &as_they_see_it(core, refusal))).await;
        }
    }
    agreed
}

/// "Theirs" in what is sent to the dialler is ours.
fn as_they_see_it(core: &Core, refusal: &Refusal) -> Refusal {
    match refusal {
        Refusal::OtherProtocol { .. } => Refusal::OtherProtocol { theirs: VERSIONS },
        Refusal::OtherCluster { .. } => Refusal::OtherCluster { theirs: core.cluster.clone() },
        other => other.clone(),
    }
}

async fn answer(core: &Arc<Core>, stream: &mut TcpStream) -> Result<Agreed, Refusal> {
    let hello_bytes = read(core, stream).await?;
    let hello: Hello = decode(Kind::Hello, &hello_bytes)?;
    let them = check(core, hello.from)?;
    if hello.to != core.me.name {
        return Err(Refusal::OtherName { theirs: core.me.name });
    }
    let welcome = encode(Kind::Welcome, &Welcome { from: introduction(core) });
    write(stream, &welcome).await?;
    let transcript = Transcript { hello: &hello_bytes, welcome: &welcome };
    let proof: Proof = decode(Kind::Proof, &read(core, stream).await?)?;
    if !core.keys.check(Role::Dialler, transcript, &proof) {
        return Err(Refusal::WrongSecret);
    }
    // Only now is it known who speaks.
    let link = if hello.data {
        let link =
            core.links.get(them.node).filter(|link| link.id == hello.link && !link.dialled_here && link.take_data());
        link.ok_or(Refusal::Closed)?
    } else {
        let address = them.address.clone();
        let admitted = core.inbound.admit(them.node).and_then(|()| {
            let link = core.new_link(hello.link, them, false, transcript);
            core.links.commit(&link, hello.replaces).map(|()| link)
        });
        match admitted {
            Ok(link) => link,
            Err(refusal) => {
                if !matches!(refusal, Refusal::AlreadyLinked { .. }) {
                    core.inbound.refused(&address, &refusal);
                }
                return Err(refusal);
            }
        }
    };
    link.keep(stream);
    if let Err(refusal) = write(stream, &encode(Kind::Accepted, &core.keys.prove(Role::Acceptor, transcript))).await {
        link.close();
        return Err(refusal);
    }
    let lane = if hello.data { Lane::Data } else { Lane::Control };
    Ok(Agreed { link, lane, session_key: core.keys.session(b"session", transcript) })
}

fn introduction(core: &Core) -> Introduction {
    // Two v4 uuids: 244 of the 256 bits are random, from the operating system.
    let mut nonce = [0; 32];
    nonce[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    nonce[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    Introduction {
        cluster: core.cluster.clone(),
        node: core.me,
        address: core.advertised.clone(),
        lock: core.lock.clone(),
        nonce,
    }
}

fn check(core: &Core, them: Introduction) -> Result<Peer, Refusal> {
    if them.cluster != core.cluster {
        return Err(Refusal::OtherCluster { theirs: them.cluster });
    }
    if them.node == core.me {
        return Err(Refusal::Itself);
    }
    Ok(Peer { node: them.node, address: them.address, lock: them.lock })
}

async fn write(stream: &mut TcpStream, body: &[u8]) -> Result<(), Refusal> {
    let mut framed = Vec::with_capacity(frame::PREFIX + body.len());
    framed.extend_from_slice(&frame::prefix(body.len()));
    framed.extend_from_slice(body);
    stream.write_all(&framed).await.map_err(|_| Refusal::Closed)
}

async fn read(core: &Core, stream: &mut TcpStream) -> Result<Vec<u8>, Refusal> {
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Refusal::Closed,
        _ => Refusal::Unreachable { errno: error.raw_os_error().unwrap_or(0) },
    };
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).await.map_err(ended)?;
    let length = frame::announced(prefix, core.limits.handshake_frame).map_err(|_| Refusal::Garbage)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(ended)?;
    Ok(body)
}
