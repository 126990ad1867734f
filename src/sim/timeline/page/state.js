// What is true at one moment, and how parts change over time. A node acts on the view that it has installed, so its parts are
// read from that one; where the newest view says otherwise, they are marked as old.

const NONE = 0;
const PRIMARY = 1;
const BACKUP = 2;
const CATCHING_UP = 3;
const PARTS = ["", "primary", "backup", "catching up"];

const PROTECTED = 0;
const ALONE = 1;
const UNSERVED = 2;
const RECOVERING = 3;
const LOST = 4;
const STATES = ["protected", "without a backup", "without a live primary", "recovering", "lost"];

function lifeAt(track, at) {
  const life = last(track.lives, at, (l) => l.from);
  return life && at < life.to ? life : null;
}

function pausedAt(track, at) {
  const pause = last(track.pauses, at, (p) => p.from);
  return Boolean(pause && at < pause.to);
}

// The view that the process living at `at` has installed by then.
function installedAt(run, track, at) {
  const life = lifeAt(track, at);
  const installed = last(track.installed, at, (i) => i.at);
  return life && installed && installed.at >= life.from ? run.viewOf(installed.number, at) : null;
}

function newestAt(run, at) {
  return last(run.views, at, (v) => v.at)?.newest ?? null;
}

// The part of a node in one arc of a view. A process that began after the view was decided is not whom it names.
function partIn(view, track, life, arc) {
  const roles = view?.arcs[arc];
  if (!roles || roles.lost || !life || life.from > view.at) return NONE;
  if (roles.primary === track.name) return roles.served ? PRIMARY : NONE;
  if (roles.in_sync.includes(track.name)) return BACKUP;
  return roles.catching_up === track.name ? CATCHING_UP : NONE;
}

function arcState(run, view, arc, at) {
  const roles = view.arcs[arc];
  if (roles.lost) return LOST;
  if (!roles.served) return RECOVERING;
  const there = (name) => {
    const track = run.track(name);
    const life = track && lifeAt(track, at);
    return Boolean(life && life.from <= view.at);
  };
  if (!there(roles.primary) || pausedAt(run.track(roles.primary), at)) return UNSERVED;
  return roles.in_sync.some(there) ? PROTECTED : ALONE;
}

// Moments at which anything of a node's standing can change, for all nodes.
function turningPoints(run) {
  const points = new Set([0]);
  for (const track of run.tracks) {
    for (const each of [...track.lives, ...track.pauses]) {
      points.add(each.from);
      points.add(each.to);
    }
    for (const each of track.installed) points.add(each.at);
  }
  for (const view of run.views) points.add(view.at);
  return [...points].filter((at) => at < run.end).sort((a, b) => a - b);
}

// For every track its stretches of one installed view, and for every arc its stretches of one part. With more arcs than have
// a row each, how many a node has of each part.
function partsOverTime(run, rowsMax) {
  const points = turningPoints(run);
  const perArc = run.arcs <= rowsMax;
  run.perArc = perArc;
  run.health = [];
  run.countsMost = 1;
  for (const track of run.tracks) {
    track.spans = [];
    track.strips = Array.from({ length: perArc ? run.arcs : 0 }, () => []);
    track.counts = [];
  }
  let stood = { by: "", health: null };
  points.forEach((at, i) => {
    const to = points[i + 1] ?? run.end;
    const newest = newestAt(run, at);
    // Most moments change nothing that all arcs together depend on.
    const standing = JSON.stringify([newest?.at, run.tracks.map((track) => [lifeAt(track, at)?.from, pausedAt(track, at)])]);
    if (standing !== stood.by) stood = { by: standing, health: newest ? health(run, newest, at) : null };
    stretch(run.health, at, to, stood.health, (a, b) => a && b && a.words === b.words);
    for (const track of run.tracks) {
      const life = lifeAt(track, at);
      const view = installedAt(run, track, at);
      const old = Boolean(view && newest && view.number < newest.number);
      const span = life ? { life, view, old, newest, paused: pausedAt(track, at) } : null;
      stretch(track.spans, at, to, span, (a, b) => a && b && a.life === b.life && a.view === b.view && a.old === b.old && a.paused === b.paused);
      if (!perArc) {
        const same = track.counted?.life === life && track.counted.view === view;
        if (!same) track.counted = { life, view, found: life && view ? counts(run, view, track, life) : null };
        if (track.counted.found) run.countsMost = Math.max(run.countsMost, ...track.counted.found.slice(PRIMARY));
        stretch(track.counts, at, to, track.counted.found, (a, b) => a && b && a.every((n, part) => n === b[part]));
        continue;
      }
      for (let arc = 0; arc < run.arcs; arc++) {
        const part = partIn(view, track, life, arc);
        const stale = old && part !== partIn(newest, track, life, arc);
        const value = part === NONE ? null : { part, stale, view };
        stretch(track.strips[arc], at, to, value, (a, b) => a && b && a.part === b.part && a.stale === b.stale);
      }
    }
  });
}

// Lengthens the last stretch if it says the same, else adds one. Nothing is a gap.
function stretch(list, from, to, value, same) {
  const before = list[list.length - 1];
  if (before && before.to === from && same(before.value, value)) before.to = to;
  else if (value) list.push({ from, to, value });
}

function counts(run, view, track, life) {
  const found = [0, 0, 0, 0];
  for (let arc = 0; arc < run.arcs; arc++) found[partIn(view, track, life, arc)]++;
  return found;
}

// How all arcs stand together: the worst, and how many.
function health(run, view, at) {
  const found = [0, 0, 0, 0, 0];
  for (let arc = 0; arc < view.arcs.length; arc++) found[arcState(run, view, arc, at)]++;
  let worst = LOST;
  while (worst > PROTECTED && !found[worst]) worst--;
  const words = [];
  for (let state = LOST; state > PROTECTED; state--) if (found[state]) words.push(`${some(found[state], "arc")} ${STATES[state]}`);
  const short = worst === PROTECTED ? "all" : `${found[worst]}`;
  return { worst, words: words.length ? words.join(", ") : "every arc has a live primary and backup", short };
}
