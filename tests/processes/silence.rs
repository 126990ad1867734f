//! A process that was silent for a while and comes back just as another is lost: two of three are enough again.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::{
    ring::{Ring, array},
    stream::Stream,
};

#[test]
fn a_kill_right_after_another_node_woke_does_not_stop_three_nodes() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start_all();
    // Around `suspect_after`: the sleeper is still in, is being voted out, was voted out just now, long ago.
    for asleep in [540, 600, 620, 640, 660, 700, 760, 1_200] {
        let mut stream = Stream::begin(&ring, &["a", "c"], "cart-1");
        ring.node("c").signal(Signal::STOP);
        thread::sleep(Duration::from_millis(asleep));
        ring.node("c").signal(Signal::CONT);
        thread::sleep(Duration::from_millis(asleep % 100 / 5));
        ring.kill("b");
        let view = ring.wait_protected();
        assert_eq!(array(&view["members"]).len(), 2, "after {asleep} ms: {view}");
        stream.wait_more(20);
        drop(stream.end());
        ring.start("b");
        ring.wait_whole();
    }
}
