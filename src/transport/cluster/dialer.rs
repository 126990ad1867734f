//! Keeps a link to one configured address: dials, rests while there is a link to that name, dials again.
//!
//! Tries are 20 ms to 1 s apart, doubled each time and spread by half, so that nodes which lost one another together do not
//! dial in step. It gives up only when it is told to forget the address.

use std::{sync::Arc, time::Duration};

use rustix::io::Errno;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    Core,
    handshake::{self, Agreed, Dial},
    link::Stage,
};
use crate::{id::NodeName, transport::Refusal};

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Runs until it is aborted.
pub(super) async fn keep(core: Arc<Core>, name: NodeName, address: String) {
    let mut pause = PAUSE_MIN;
    let mut replaces = None;
    loop {
        if let Some(link) = core.links.named(name) {
            let since = Instant::now();
            let mut stage = link.watch();
            drop(link);
            // An error means that the link is gone, which is what is waited for.
            let _ = stage.wait_for(|stage| *stage == Stage::Closed).await;
            drop(stage);
            if since.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
        } else {
            match once(&core, name, &address, replaces).await {
                Ok(()) => {
                    replaces = None;
                    continue;
                }
                Err(Refusal::AlreadyLinked { link }) => {
                    // If that link does not turn up here during the pause, our end of it is lost.
                    replaces = Some(link);
                    pause = PAUSE_MIN;
                }
                // Crossed by the other's dial, which left a link: nothing to report.
                Err(_) if core.links.named(name).is_some() => {}
                Err(refusal) => core.inbound.refused(&address, &refusal),
            }
        }
        sleep(spread(pause)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One whole link: the control connection, then the data connection.
async fn once(core: &Arc<Core>, name: NodeName, address: &str, replaces: Option<u128>) -> Result<(), Refusal> {
    let (agreed, stream) = one_lane(core, address, &Dial::Control { name, replaces }).await?;
    let link = Arc::clone(&agreed.link);
    core.carry(agreed, stream);
    let data = one_lane(core, address, &Dial::Data(Arc::clone(&link))).await;
    match data {
        Ok((agreed, stream)) => {
            core.carry(agreed, stream);
            Ok(())
        }
        Err(refusal) => {
            // The other end may have given way to a better link meanwhile; half a link is of no use.
            link.close();
            Err(refusal)
        }
    }
}

async fn one_lane(core: &Arc<Core>, address: &str, dial: &Dial) -> Result<(Agreed, TcpStream), Refusal> {
    let attempt = async {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|error| Refusal::Unreachable { errno: error.raw_os_error().unwrap_or(0) })?;
        if met_itself(&stream) {
            return Err(Refusal::Unreachable { errno: Errno::CONNREFUSED.raw_os_error() });
        }
        let _ = stream.set_nodelay(true); // fails only on a socket that is closed already
        let agreed = handshake::dial(core, &mut stream, dial).await?;
        Ok((agreed, stream))
    };
    timeout(core.limits.handshake_deadline, attempt).await.unwrap_or(Err(Refusal::Deadline))
}

/// Whether a connection is one to itself: where nobody listens on a port that the system also gives to callers, one that dials
/// it again and again is some day given that very port. Closed as others are, it would keep whoever should listen there
/// from starting for a minute; so it is cut off.
fn met_itself(stream: &TcpStream) -> bool {
    let is_itself = stream.local_addr().is_ok_and(|local| stream.peer_addr().is_ok_and(|peer| peer == local));
    if is_itself {
        let _ = stream.set_zero_linger();
    }
    is_itself
}

/// Between a half of `pause` and the whole of it.
fn spread(pause: Duration) -> Duration {
    let [random, ..] = Uuid::new_v4().into_bytes();
    pause / 2 + pause / 2 * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_met_itself_is_cut_off_and_leaves_its_port_to_whoever_should_listen_there() {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = free.local_addr().expect("bound");
        let other = TcpStream::connect(address).await.expect("somebody listens");
        assert!(!met_itself(&other));
        drop((free, other));
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("before it is bound");
        socket.bind(address).expect("free again");
        socket.set_reuseaddr(false).expect("as a dialler's");
        let stream = socket.connect(address).await.expect("to itself");
        assert!(met_itself(&stream));
        drop(stream);
        std::net::TcpListener::bind(address).expect("free at once");
    }
}
