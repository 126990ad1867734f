use super::*;
use crate::membership::{
    Standing, View, targets,
    test_views::{founded, node},
};

const ARCS: u16 = 16;

/// The two nodes of a ring of which the first is to give away all that it serves.
fn giver_and_heir(hand_backs_max: usize) -> [Host; 2] {
    let mut view: View = founded(&["a", "b"], ARCS, 1);
    Arc::make_mut(&mut view.members[0]).standing = Standing::Draining;
    let (view, goals) = (Arc::new(view.clone()), targets(&view));
    let settings = ReplicationSettings { hand_backs_max, ..ReplicationSettings::default() };
    let now = Moment::START + Duration::from_secs(1);
    let mut out = Vec::new();
    let mut hosts = ["a", "b"].map(|name| Host::new(node(name, 1), Arc::clone(&view), 0, 1, 1 << 20, settings.clone()));
    let [giver, heir] = &mut hosts;
    heir.install(Arc::clone(&view), &goals, &Grants::default(), now, &mut Vec::new());
    giver.install(Arc::clone(&view), &goals, &Grants::default(), now, &mut out);
    giver.flush(now, &mut out);
    let mut back = Vec::new();
    for effect in out {
        if let Effect::Frame { frame, .. } = effect {
            heir.handle_frame(node("a", 1), frame, now, &mut back);
        }
    }
    for effect in back {
        if let Effect::Ack { stream, ack, .. } = effect {
            giver.handle_ack(node("b", 1), stream, &ack, now, &mut Vec::new());
        }
    }
    hosts
}

fn handing_over(host: &Host) -> usize {
    let primaries = (0..ARCS).filter_map(|arc| host.replica(ArcId(arc))?.as_primary());
    primaries.filter(|primary| primary.is_handing_over()).count()
}

#[test]
fn no_more_arcs_are_on_their_way_at_once_than_the_file_allows() {
    for (max, at_once) in [(1, 1), (3, 3), (32, usize::from(ARCS / 2))] {
        let [mut giver, _] = giver_and_heir(max);
        let mut now = Moment::START + Duration::from_secs(1);
        // Without a view that grants the wishes none of them ends, so nothing more may begin.
        for _ in 0..3 {
            now = now + Duration::from_millis(10);
            giver.tick(now, &mut Vec::new());
            assert_eq!(handing_over(&giver), at_once, "of {} arcs, at most {max}", ARCS / 2);
        }
    }
}
