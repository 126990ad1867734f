//! Datagrams through a front: lost, late, twice or overtaken, as the link says.

use std::{sync::Arc, time::Duration};

use tokio::{net::UdpSocket, sync::Semaphore, time::sleep};

use super::{Front, Shared};

/// The longest that is passed on; a node's are far shorter.
const LONGEST: usize = 2 << 10;
/// On their way at a time; more are lost.
const UNDER_WAY: usize = 4_096;
/// What takes less than a timer can tell is passed on at once.
const AT_ONCE: Duration = Duration::from_millis(1);
/// After a socket's fault, which is mostly the news that nobody listened for an earlier one.
const AGAIN: Duration = Duration::from_millis(1);

/// Passes on until it is aborted.
pub(super) async fn relay(shared: Arc<Shared>, front: Front, socket: UdpSocket) {
    let (socket, places) = (Arc::new(socket), Arc::new(Semaphore::new(UNDER_WAY)));
    let mut datagram = [0; LONGEST];
    loop {
        let Ok((length, source)) = socket.recv_from(&mut datagram).await else {
            sleep(AGAIN).await;
            continue;
        };
        let Some(from) = shared.by_address.get(&source) else { continue };
        let now = shared.now();
        let (first, second) = shared.network().arrivals(*from, front.name, || length, now);
        for after in first.into_iter().chain(second) {
            if after < AT_ONCE {
                // One that cannot be sent is one that is lost.
                let _ = socket.send_to(&datagram[..length], front.node).await;
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (socket, body) = (Arc::clone(&socket), datagram[..length].to_vec());
            tokio::spawn(async move {
                sleep(after).await;
                let _ = socket.send_to(&body, front.node).await;
                drop(place);
            });
        }
    }
}
