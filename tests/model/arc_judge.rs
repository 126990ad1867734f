//! What must never happen to one arc, and what must be seen to happen so that the rest means something.
//!
//! It judges single states: what clients were told is part of them. It does not judge liveness.

use ringheir::{id::ViewNumber, membership::View, replication::Replica};
use stateright::Property;

use super::{
    arc_model::ArcModel,
    arc_world::{ARC, World, Written, writes_in},
};

/// The invariant of the view chain.
pub(crate) const ONE_VIEW: &str = "no two different views are decided for one number";
/// Guarantee of every acknowledgement.
pub(crate) const SURVIVES: &str = "what a client knows of is in every later serving primary, in its place";
/// What backups may take for settled.
pub(crate) const PREFIX: &str = "a backup's committed history is the beginning of its primary's";
/// One history.
pub(crate) const ONE_HISTORY: &str = "no two clients know of different writes in one place";
/// What a read may show.
pub(crate) const FRESH: &str = "a read shows all that was acknowledged before it was asked";
/// Whom a backup answers for its primary.
pub(crate) const TOLD: &str = "whom a primary takes for told by its backup was told";

/// A backup was promoted and serves.
pub(crate) const PROMOTED: &str = "a promotion happened";
/// The same, while another node was catching up.
pub(crate) const PROMOTED_MEANWHILE: &str = "a promotion happened during a catch-up";
/// A node that caught up was called in sync.
pub(crate) const CAUGHT_UP: &str = "a catch-up was completed";
/// And then promoted.
pub(crate) const HEIR_CAUGHT_UP: &str = "a node that had caught up was promoted and serves";
/// Fencing.
pub(crate) const REFUSED: &str = "a deposed primary was refused";
/// Outcome unknown.
pub(crate) const BROKEN: &str = "a deposed primary told a client that the outcome is unknown";
/// A later primary acknowledged something.
pub(crate) const GOES_ON: &str = "a command was acknowledged by a promoted primary";
/// The arc came home.
pub(crate) const CAME_HOME: &str = "the arc was handed over to its home, which serves";
/// A slow backup was dropped though it lives.
pub(crate) const DISMISSED: &str = "a silent backup was dropped by its primary's wish";

/// The invariants, and those of the sights that are asked for.
pub(crate) fn properties(seen: &[&'static str]) -> Vec<Property<ArcModel>> {
    let sights = [
        Property::<ArcModel>::sometimes(PROMOTED, |_, w| promoted(w).next().is_some()),
        Property::<ArcModel>::sometimes(PROMOTED_MEANWHILE, |_, w| {
            promoted(w).any(|(before, _)| before.arcs[0].catching_up.is_some())
        }),
        Property::<ArcModel>::sometimes(CAUGHT_UP, |_, w| w.decided.iter().any(|v| called_in_sync(w, &v.1))),
        Property::<ArcModel>::sometimes(HEIR_CAUGHT_UP, |_, w| {
            promoted(w).any(|(before, _)| called_in_sync(w, before))
        }),
        Property::<ArcModel>::sometimes(REFUSED, |_, w| w.told.1.refused),
        Property::<ArcModel>::sometimes(BROKEN, |_, w| w.told.1.broken),
        Property::<ArcModel>::sometimes(GOES_ON, |_, w| w.told.1.known.values().any(|since| since.0 > 1)),
        Property::<ArcModel>::sometimes(CAME_HOME, |_, w| {
            promoted(w).any(|(before, now)| now.arcs[0].in_sync.contains(&before.arcs[0].primary))
        }),
        Property::<ArcModel>::sometimes(DISMISSED, |_, w| w.decided.iter().any(|v| dismisses(w, &v.1))),
    ];
    let laws = [
        Property::<ArcModel>::always(ONE_VIEW, |_, w| one_view(w)),
        Property::<ArcModel>::always(SURVIVES, |_, w| survives(w)),
        Property::<ArcModel>::always(PREFIX, |_, w| prefix(w)),
        Property::<ArcModel>::always(ONE_HISTORY, |_, w| one_history(w)),
        Property::<ArcModel>::always(FRESH, |_, w| !w.told.1.stale),
        Property::<ArcModel>::always(TOLD, |_, w| !w.told.1.untold),
    ];
    laws.into_iter().chain(sights.into_iter().filter(|p| seen.contains(&p.name))).collect()
}

/// Whether no invariant is broken.
pub(crate) fn is_sound(world: &World) -> bool {
    one_view(world)
        && survives(world)
        && prefix(world)
        && one_history(world)
        && !world.told.1.stale
        && !world.told.1.untold
}

fn one_view(world: &World) -> bool {
    let decided = &world.decided;
    decided.iter().enumerate().all(|(at, v)| decided[..at].iter().all(|w| v.1.number != w.1.number))
}

/// Every serving primary but those of an older `since`, which only do not know yet that they are deposed.
fn survives(world: &World) -> bool {
    world.living().filter_map(|(_, node)| node.serving()).all(|primary| {
        let writes = writes_in(primary.store());
        let kept = |since: &ViewNumber| *since <= primary.since() && !world.was_lost(*since, primary.since());
        world.told.1.known.iter().all(|(known, since)| !kept(since) || writes.contains(known))
    })
}

fn prefix(world: &World) -> bool {
    let backups = || {
        world.living().filter_map(|(_, node)| match node.host.replica(ARC) {
            Some(Replica::Backup(backup)) => Some((node.me, backup)),
            _ => None,
        })
    };
    let of_its_primary = backups().all(|(me, backup)| {
        let committed = writes_in(backup.store());
        world.living().filter_map(|(_, node)| node.primary()).filter(|p| backup.follows(p.since())).all(|primary| {
            // What its fellows heard of the old primary's last word, one that was just promoted may still have to commit. And what
            // a backup alone has to have is committed by being there, before its primary hears of that.
            let is_alone = primary.in_sync() == [me];
            let settled = if primary.is_serving() && !is_alone { primary.committed() } else { primary.last() };
            backup.folded() <= settled && begins(&committed, &writes_in(primary.store()))
        })
    });
    // What one backup takes for committed another may not know yet, but it never takes another write for it.
    of_its_primary
        && backups().enumerate().all(|(at, (_, one))| {
            let one = writes_in(one.store());
            backups().take(at).all(|(_, other)| {
                let other = writes_in(other.store());
                begins(&one, &other) || begins(&other, &one)
            })
        })
}

/// Whether what is in `first` is in `whole` in the same places.
fn begins(first: &[Written], whole: &[Written]) -> bool {
    first.iter().all(|written| whole.contains(written))
}

fn one_history(world: &World) -> bool {
    let known = &world.told.1.known;
    known.iter().zip(known.iter().skip(1)).all(|((one, told), (other, then))| {
        let same_place = (one.0, one.1) == (other.0, other.1);
        !same_place || world.was_lost(*told.min(then), *told.max(then))
    })
}

/// The decided views whose primary was promoted from the view before and serves now, each with the view before.
fn promoted(world: &World) -> impl Iterator<Item = (&View, &View)> {
    let serves = |since: ViewNumber| world.living().any(|(_, node)| node.serving().is_some_and(|p| p.since() == since));
    let news = world.decided.iter().map(|v| &*v.1).filter(move |v| v.arcs[0].since == v.number && serves(v.number));
    let pairs = news.filter_map(|v| Some((world.view(ViewNumber(v.number.0.checked_sub(1)?))?, v)));
    pairs.filter(|(before, now)| before.arcs[0].in_sync.contains(&now.arcs[0].primary))
}

/// Whether a view calls one in sync that was catching up in the view before.
fn called_in_sync(world: &World, view: &View) -> bool {
    let before = world.view(ViewNumber(view.number.0.saturating_sub(1)));
    before.and_then(|b| b.arcs[0].catching_up).is_some_and(|node| view.arcs[0].in_sync.contains(&node))
}

/// Whether a view has all members of the view before and none of its backups.
fn dismisses(world: &World, view: &View) -> bool {
    let before = world.view(ViewNumber(view.number.0.saturating_sub(1)));
    let dropped = |b: &View| {
        b.members == view.members && b.arcs[0].primary == view.arcs[0].primary && !b.arcs[0].in_sync.is_empty()
    };
    view.arcs[0].in_sync.is_empty() && before.is_some_and(dropped)
}
