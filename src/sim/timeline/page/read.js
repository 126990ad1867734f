// The run as the page needs it: what came in, and what follows from it. Draws nothing and touches no element.
// Keeps: every list is in order of time.

const NEVER = Infinity;

// Where in a sorted list `at` would go: the number of elements whose key is at most `at`.
function after(list, at, key) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function last(list, at, key) {
  return list[after(list, at, key) - 1];
}

function read(data) {
  const end = Math.max(data.lasted_us, 1);
  const run = { data, end, nodes: [...data.nodes], tracks: [], views: [], steps: [], marks: [], expected: [], cuts: [], arcs: data.arcs };
  const tracks = new Map();
  const track = (name) => {
    if (!tracks.has(name)) {
      // Whoever joins without having been listed gets the next track.
      if (!run.nodes.includes(name)) run.nodes.push(name);
      const made = { name, index: run.nodes.indexOf(name), lives: [], pauses: [], installed: [], cuts: [] };
      tracks.set(name, made);
    }
    return tracks.get(name);
  };
  run.nodes.forEach(track);
  const open = new Map();
  const close = (key, at) => {
    const cut = open.get(key);
    if (cut) cut.to = at;
    open.delete(key);
  };
  for (const event of data.events) {
    const at = event.at_us;
    switch (event.type) {
      case "started":
        track(event.node).lives.push({ from: at, to: NEVER, process: event.process, how: "" });
        break;
      case "ended": {
        const { lives, pauses } = track(event.node);
        // A process that was there from the beginning may never have been noted as started.
        if (!lives.length) lives.push({ from: 0, to: NEVER, process: "", how: "" });
        Object.assign(lives[lives.length - 1], { to: at, how: event.how });
        if (pauses.length && pauses[pauses.length - 1].to === NEVER) pauses[pauses.length - 1].to = at;
        break;
      }
      case "paused":
        track(event.node).pauses.push({ from: at, to: NEVER });
        break;
      case "resumed": {
        const { pauses } = track(event.node);
        if (pauses.length) pauses[pauses.length - 1].to = at;
        break;
      }
      case "cut": {
        const key = JSON.stringify([event.from, event.to]);
        if (open.has(key)) break;
        const cut = { one: track(event.from), other: track(event.to), from: at, to: NEVER, both: false };
        open.set(key, cut);
        run.cuts.push(cut);
        break;
      }
      case "mended":
        close(JSON.stringify([event.from, event.to]), at);
        break;
      case "step":
        run.steps.push({ at, words: event.words, nodes: event.nodes });
        break;
      case "view":
        event.members.forEach(track);
        run.views.push({ at, number: event.number, members: event.members, voters: event.voters, arcs: event.arcs });
        break;
      case "installed":
        track(event.node).installed.push({ at, number: event.number });
        break;
      case "mark":
        run.marks.push({ at, words: event.words });
        break;
      case "expected":
        run.expected.push({ at, words: event.words, holds: event.holds });
        break;
    }
  }
  run.track = (name) => tracks.get(name);
  run.tracks = run.nodes.map((name) => tracks.get(name));
  run.tracks.forEach((each, index) => {
    each.index = index;
    if (!each.lives.length) each.lives.push({ from: each.installed.length ? 0 : NEVER, to: NEVER, process: "", how: "" });
  });
  run.cuts = twoWay(run.cuts);
  for (const cut of run.cuts) {
    // Of cuts that last at the same time the lines lie beside each other.
    cut.lines = [cut.one, cut.other].map((each) => (each.cuts.push(cut) - 1) % 4);
  }
  // A run that was too long to be noted whole still has a newest view at every moment of what was.
  let newest = null;
  for (const view of run.views) {
    if (!newest || view.number >= newest.number) newest = view;
    view.newest = newest;
  }
  run.views.forEach((view, i) => {
    view.before = i ? run.views[i - 1].newest : null;
    view.changes = changes(view.before, view);
  });
  run.viewOf = (number, at) => {
    for (let i = after(run.views, at, (v) => v.at) - 1; i >= 0; i--) if (run.views[i].number === number) return run.views[i];
    // What real processes tell may come in another order than it happened.
    return run.views.find((view) => view.number === number) ?? null;
  };
  readOperations(run, data);
  readMessages(run, data);
  run.violated = data.violations.map((each) => {
    const operation = each.operation === null ? undefined : run.operationOf.get(each.operation);
    const at = each.at_us ?? (operation === undefined ? null : run.operations.asked[operation]);
    return { check: each.check, words: each.words, at, operation };
  });
  return run;
}

// Two one-way cuts of the same pair over the same time are one cut both ways.
function twoWay(cuts) {
  const kept = [];
  const seen = new Map();
  for (const cut of cuts) {
    const twin = seen.get(JSON.stringify([cut.other.name, cut.one.name, cut.from, cut.to]));
    if (twin) {
      twin.both = true;
      continue;
    }
    seen.set(JSON.stringify([cut.one.name, cut.other.name, cut.from, cut.to]), cut);
    kept.push(cut);
  }
  return kept;
}

// Operations in columns, in the order they were asked; `row` is the client's.
function readOperations(run, data) {
  const count = data.asked.length / 6;
  const of = new Map();
  const operations = {
    count,
    asked: new Float64Array(count),
    answered: new Float64Array(count).fill(NEVER),
    number: new Float64Array(count),
    client: new Uint32Array(count),
    session: new Uint32Array(count),
    arc: new Uint16Array(count),
    words: new Uint32Array(count),
    answer: new Int32Array(count).fill(-1),
    outcome: new Uint8Array(count).fill(UNANSWERED),
    longest: 0,
  };
  for (let i = 0, from = 0; i < count; i++, from += 6) {
    const [at, number, client, session, arc, words] = data.asked.slice(from, from + 6);
    operations.asked[i] = at;
    operations.number[i] = number;
    operations.client[i] = client;
    operations.session[i] = session;
    operations.arc[i] = arc;
    operations.words[i] = words;
    of.set(number, i);
  }
  for (let from = 0; from < data.answered.length; from += 4) {
    const i = of.get(data.answered[from + 1]);
    if (i === undefined) continue;
    const words = data.answered[from + 2];
    operations.answered[i] = data.answered[from];
    operations.answer[i] = words;
    operations.outcome[i] = data.answered[from + 3] ? DONE : data.words[words].includes("unknown") ? UNKNOWN : NOT_DONE;
  }
  const clients = [...new Set(operations.client)].sort((a, b) => a - b);
  // Rows are bounded; beyond that several callers share one.
  const rows = Math.min(clients.length, CLIENT_ROWS_MAX);
  const rowOf = new Map(clients.map((client, i) => [client, i % Math.max(rows, 1)]));
  operations.rows = Array.from({ length: rows }, () => ({ clients: [], list: [], open: [] }));
  clients.forEach((client) => operations.rows[rowOf.get(client)].clients.push(client));
  for (let i = 0; i < count; i++) {
    const row = operations.rows[rowOf.get(operations.client[i])];
    row.list.push(i);
    if (operations.answered[i] === NEVER) row.open.push(i);
    else operations.longest = Math.max(operations.longest, operations.answered[i] - operations.asked[i]);
  }
  run.operations = operations;
  run.operationOf = of;
}

const UNANSWERED = 3;
const UNKNOWN = 2;
const NOT_DONE = 1;
const DONE = 0;
const OUTCOMES = ["done", "not done", "outcome unknown", "never answered"];
const CLIENT_ROWS_MAX = 12;

// Messages in columns, in the order they were sent.
function readMessages(run, data) {
  const count = data.sent.length / 5;
  const messages = {
    count,
    at: new Float64Array(count),
    arrives: new Float64Array(count),
    from: new Uint16Array(count),
    to: new Uint16Array(count),
    words: new Uint32Array(count),
    kinds: new Map(),
    lost: 0,
    longest: 0,
  };
  const trackOf = new Map();
  const indexOf = (word) => {
    if (!trackOf.has(word)) trackOf.set(word, run.track(data.words[word])?.index ?? NOBODY);
    return trackOf.get(word);
  };
  for (let i = 0, from = 0; i < count; i++, from += 5) {
    const at = data.sent[from];
    const travel = data.sent[from + 4];
    messages.at[i] = at;
    messages.from[i] = indexOf(data.sent[from + 1]);
    messages.to[i] = indexOf(data.sent[from + 2]);
    messages.words[i] = data.sent[from + 3];
    messages.arrives[i] = travel < 0 ? NEVER : at + travel;
    if (travel < 0) messages.lost++;
    else messages.longest = Math.max(messages.longest, travel);
    messages.kinds.set(messages.words[i], (messages.kinds.get(messages.words[i]) ?? 0) + 1);
  }
  run.messages = messages;
}

const NOBODY = 65535;
