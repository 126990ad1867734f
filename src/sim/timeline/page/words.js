// How times, numbers, views and operations are said.

function some(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

// A moment of the run, as finely as the window needs it.
function moment(us, across = 1e6) {
  const digits = across > 4e7 ? 1 : across > 4e5 ? 3 : across > 4e3 ? 5 : 6;
  return `${(us / 1e6).toFixed(digits)} s`;
}

function lasting(us) {
  if (us === NEVER) return "to the end";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(2)} s`;
}

// Arcs by number, runs of them joined, and no more than a few.
function arcList(arcs) {
  const runs = [];
  for (const arc of arcs) {
    const before = runs[runs.length - 1];
    if (before && before[1] === arc - 1) before[1] = arc;
    else runs.push([arc, arc]);
  }
  const said = runs.slice(0, 6).map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from}-${to}`));
  return `${arcs.length === 1 ? "arc" : "arcs"} ${said.join(", ")}${runs.length > 6 ? " …" : ""}`;
}

// What a view changes, in words: the same change of many arcs is one line.
function changes(before, view) {
  if (!before) {
    const founded = view.number === 1 ? "the cluster is founded" : "the first view that was seen";
    return [`${founded}: ${view.members.join(", ")}`];
  }
  const said = [];
  const gone = before.members.filter((name) => !view.members.includes(name));
  const come = view.members.filter((name) => !before.members.includes(name));
  if (gone.length) said.push(`${gone.join(", ")} out`);
  if (come.length) said.push(`${come.join(", ")} in`);
  const grouped = new Map();
  const add = (words, arc) => (grouped.has(words) ? grouped.get(words).push(arc) : grouped.set(words, [arc]));
  view.arcs.forEach((now, arc) => {
    const was = before.arcs[arc];
    if (was) arcChanges(was, now, view).forEach((words) => add(words, arc));
  });
  for (const [words, arcs] of grouped) said.push(words.replace("{arcs}", () => arcList(arcs)));
  const voters = view.voters.filter((name) => !before.voters.includes(name));
  if (!said.length && voters.length) said.push(`${voters.join(", ")} may vote`);
  return said.length ? said : ["nothing of members or arcs"];
}

function arcChanges(was, now, view) {
  const said = [];
  if (now.lost && !was.lost) said.push("{arcs} lost");
  if (was.lost && !now.lost) said.push("{arcs} no longer lost");
  if (!now.served && was.served) said.push(`{arcs} recovering: the last copy is on ${now.primary}`);
  if (now.served && !was.served && now.primary === was.primary) said.push(`{arcs} served again by ${now.primary}`);
  if (now.primary !== was.primary && now.served) {
    const handed = view.members.includes(was.primary) && now.in_sync.includes(was.primary);
    said.push(handed ? `${was.primary} hands {arcs} to ${now.primary}` : `${now.primary} promoted for {arcs}`);
  }
  for (const name of now.in_sync) {
    if (!was.in_sync.includes(name) && name !== was.primary) said.push(`${name} in sync for {arcs}`);
  }
  for (const name of was.in_sync) {
    if (!now.in_sync.includes(name) && name !== now.primary) said.push(`${name} no more backup of {arcs}`);
  }
  if (now.catching_up && now.catching_up !== was.catching_up) said.push(`${now.catching_up} catches up with {arcs}`);
  return said;
}

function operationWords(run, i) {
  const { operations: all, data } = run;
  const answer = all.answer[i] < 0 ? "" : `\n${data.words[all.answer[i]]}`;
  const took = all.answered[i] === NEVER ? "" : ` after ${lasting(all.answered[i] - all.asked[i])}`;
  return (
    `${data.words[all.words[i]]}\nclient ${all.client[i]}, operation ${all.number[i]}\n` +
    `session ${data.words[all.session[i]]}, arc ${all.arc[i]}\nasked at ${moment(all.asked[i])}, ${OUTCOMES[all.outcome[i]]}${took}${answer}`
  );
}

function messageWords(run, i) {
  const { messages, data } = run;
  const arrives = messages.arrives[i] === NEVER ? "never arrives" : `arrives after ${lasting(messages.arrives[i] - messages.at[i])}`;
  const name = (index) => run.nodes[index] ?? "?";
  return `${name(messages.from[i])} → ${name(messages.to[i])}: ${data.words[messages.words[i]]}\nsent at ${moment(messages.at[i], 1e3)}, ${arrives}`;
}

// Everything worth a jump, in order of time.
function happenings(run) {
  const found = [];
  const add = (at, sort, sign, words, more) => found.push({ at, sort, sign, words, ...more });
  for (const each of run.violated) {
    add(each.at ?? run.end, "violations", "✗", `${each.check}: ${each.words}`, { violation: each });
  }
  for (const each of run.expected) add(each.at, "expectations", each.holds ? "✓" : "✗", each.words, { broken: !each.holds });
  for (const each of run.steps) add(each.at, "script", "⚑", each.words);
  for (const view of run.views) add(view.at, "views", "◇", `view ${view.number}: ${view.changes.join("; ")}`);
  for (const track of run.tracks) {
    track.lives.forEach((life, i) => {
      if (life.from !== NEVER && (life.process || i)) add(life.from, "processes", "▸", `${track.name} starts${life.process ? ` as ${life.process}` : ""}`);
      if (life.to !== NEVER) add(life.to, "processes", "✕", `${track.name} ends: ${life.how}`);
    });
    for (const pause of track.pauses) {
      add(pause.from, "processes", "‖", `${track.name} stops`);
      if (pause.to !== NEVER) add(pause.to, "processes", "▸", `${track.name} goes on`);
    }
  }
  // Cuts of one moment are one line.
  const grouped = new Map();
  const cut = (at, what, each) => {
    const key = `${at} ${what}`;
    if (!grouped.has(key)) grouped.set(key, { at, what, pairs: [] });
    grouped.get(key).pairs.push(cutWords(each));
  };
  for (const each of run.cuts) {
    cut(each.from, "cut", each);
    if (each.to !== NEVER) cut(each.to, "mended", each);
  }
  for (const { at, what, pairs } of grouped.values()) add(at, "cuts", what === "cut" ? "✂" : "∪", `${what}: ${pairs.join(", ")}`);
  for (const each of run.marks) add(each.at, "marks", "◆", each.words);
  return found.sort((a, b) => a.at - b.at);
}

function cutWords(cut) {
  return cut.both ? `${cut.one.name} and ${cut.other.name}` : `${cut.one.name} to ${cut.other.name}`;
}
