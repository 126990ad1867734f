// Draws the track of one node: its life with the views it has installed, its cuts, and its part in each arc.

function drawTrack(sheet, track) {
  const { pen, time, colour } = sheet;
  const row = track.row;
  pen.strokeStyle = colour.line;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, row.top + 0.5);
  pen.lineTo(time.window.width, row.top + 0.5);
  pen.stroke();
  drawDead(sheet, track);
  for (const span of seen(time, track.spans)) drawSpan(sheet, track, span);
  track.lives.forEach((life, i) => drawStart(sheet, track, life, i));
  if (sheet.run.perArc) track.strips.forEach((strip, arc) => drawStrip(sheet, track, strip, arc));
  else drawCounts(sheet, track);
}

// Where nobody lives under the name: a dotted line, and a cross where a life ended.
function drawDead({ pen, time, colour, run, boxes }, track) {
  const { row } = track;
  for (let i = 0; i <= track.lives.length; i++) {
    const from = i ? track.lives[i - 1].to : 0;
    const to = track.lives[i]?.from ?? NEVER;
    if (from === NEVER || to < time.window.from || from > time.window.to || to <= from) continue;
    const { x, width } = across(time, from, Math.min(to, run.end));
    pen.strokeStyle = colour.faint;
    pen.lineWidth = 1.5;
    pen.setLineDash([1, 4]);
    pen.beginPath();
    pen.moveTo(x, row.bar + 9);
    pen.lineTo(x + width, row.bar + 9);
    pen.stroke();
    pen.setLineDash([]);
    if (!i) continue;
    const words = `${track.name}: ${track.lives[i - 1].how || "ended"}`;
    label(pen, `✕ ${track.lives[i - 1].how || "ended"}`, Math.max(time.x(from) + 3, 3), row.bar + 2.5, width - 4, colour.bad, BOLD);
    boxes.push({ x, y: row.bar, width, height: 18, at: from, soft: true, words: `${words}\nat ${moment(from)}${to === NEVER ? "" : `, nobody for ${lasting(to - from)}`}` });
  }
}

// One stretch of a life: which view it acts on, and whether it runs.
function drawSpan({ pen, time, colour, boxes }, track, { from, to, value }) {
  const { row } = track;
  const { x, width, words } = across(time, from, to);
  const { view, old, newest, paused, life } = value;
  pen.fillStyle = old ? colour["warn-paper"] : colour.alive;
  pen.fillRect(x, row.bar, width, 18);
  if (old && width > 2) {
    pen.strokeStyle = colour.warn;
    pen.lineWidth = 1.5;
    pen.strokeRect(x + 0.75, row.bar + 0.75, width - 1.5, 16.5);
  }
  if (paused) hatch(pen, x, row.bar, width, 18, colour.bad);
  else if (!view) hatch(pen, x, row.bar, width, 18, colour.faint, 10);
  let said = view ? `${old ? "still " : ""}view ${view.number}` : "in no view yet";
  pen.font = old || paused ? BOLD : FONT;
  // Where the word does not fit, the number may.
  if (view && !paused && pen.measureText(said).width > width - 8) said = `${view.number}`;
  const margin = width < 30 ? 2 : 6;
  if (paused) said = `‖ paused, ${said}`;
  if (width > 60 && (paused || !view)) {
    pen.font = FONT;
    pen.fillStyle = old ? colour["warn-paper"] : colour.alive;
    pen.fillRect(words + 3, row.bar + 2, Math.min(pen.measureText(said).width + 6, width - 6), 14);
  }
  if (view || width > 60) label(pen, said, words + margin, row.bar + 9.5, x + width - words - margin - 1, old ? colour["warn-ink"] : colour.ink, old || paused ? BOLD : FONT);
  // A hair line parts one view from the next.
  pen.fillStyle = colour.raised;
  pen.fillRect(time.x(from) - 0.5, row.bar, 1, 18);
  const what = [`${track.name}${life.process ? `, process ${life.process}` : ""}`, paused ? "paused: it does nothing, its clock goes on" : "alive"];
  if (view) what.push(old ? `has view ${view.number} installed; others have ${newest.number}` : `has view ${view.number} installed`);
  else what.push("has installed no view yet");
  boxes.push({ x, y: row.bar, width, height: 18, at: from, soft: true, words: `${what.join("\n")}\n${moment(from)} to ${moment(to)}` });
}

// The start of a process that is not the first of its name is marked: it is another node.
function drawStart({ pen, time, colour, boxes }, track, life, i) {
  if (life.from === NEVER || (!i && life.from === 0) || life.from < time.window.from || life.from > time.window.to) return;
  const x = time.x(life.from);
  const { row } = track;
  pen.fillStyle = colour.ink;
  pen.beginPath();
  pen.moveTo(x, row.bar - 1);
  pen.lineTo(x + 8, row.bar + 9);
  pen.lineTo(x, row.bar + 19);
  pen.closePath();
  pen.fill();
  const words = `${track.name} starts${i ? ` again: start ${i + 1} of the name` : ""}${life.process ? `\nprocess ${life.process}` : ""}\nat ${moment(life.from)}`;
  boxes.push({ x: x - 2, y: row.bar, width: 12, height: 18, at: life.from, words });
}

// One arc's part: full for a primary, an outline for an in-sync backup, slanted lines for one that catches up. Pale where the
// node believes what a newer view has ended.
function drawStrip(sheet, track, strip, arc) {
  const { pen, time, colour, boxes } = sheet;
  const { row } = track;
  const y = row.strips + arc * row.strip;
  const height = row.strip - 2;
  const ink = colour.arcs[arc % colour.arcs.length];
    for (const stretch of seen(time, strip)) {
    const { from, to, value } = stretch;
    const { x, width, words } = across(time, from, to);
    pen.globalAlpha = value.stale ? 0.45 : 1;
    let text = ink;
    if (value.part === PRIMARY) {
      pen.fillStyle = ink;
      pen.fillRect(x, y, width, height);
      text = colour.paper;
    } else {
      if (value.part === CATCHING_UP) {
        hatch(pen, x, y, width, height, ink, 5);
        pen.setLineDash([3, 2]);
      } else {
        pen.globalAlpha *= 0.16;
        pen.fillStyle = ink;
        pen.fillRect(x, y, width, height);
        pen.globalAlpha = value.stale ? 0.45 : 1;
      }
      pen.strokeStyle = ink;
      pen.lineWidth = 1.5;
      if (width > 2) pen.strokeRect(x + 0.75, y + 0.75, width - 1.5, height - 1.5);
      else pen.fillRect(x, y, width, height);
      pen.setLineDash([]);
    }
    pen.globalAlpha = 1;
    const came = value.part === PRIMARY ? turnedPrimary(track, stretch, arc) : "";
    const said = `${came ? `${came} ` : ""}arc ${arc} ${PARTS[value.part]}${value.stale ? " (old)" : ""}`;
    if (value.part === CATCHING_UP && width > 90) {
      pen.font = FONT;
      pen.fillStyle = colour.raised;
      pen.fillRect(words + 3, y + 1, Math.min(pen.measureText(said).width + 5, width - 5), height - 2);
    }
    const bare = value.part === CATCHING_UP && width <= 90;
    if (!bare) label(pen, said, words + 5, y + height / 2 + 0.5, x + width - words - 6, value.part === PRIMARY && !value.stale ? text : colour.ink, value.part === PRIMARY ? BOLD : FONT);
    const more = value.stale ? `\nby view ${value.view.number}: a newer view says otherwise` : "";
    boxes.push({ x, y, width, height, at: from, soft: true, words: `${track.name}: ${PARTS[value.part]} ${value.part === CATCHING_UP ? "with" : "of"} arc ${arc}${came ? `, ${came === "▲" ? "promoted" : "handed over"} at ${moment(from)}` : ""}${more}\n${moment(from)} to ${moment(to)}` });
  }
}

// How a node came to be the primary: from backup by a promotion, or because the one before handed over.
function turnedPrimary(track, stretch, arc) {
  const { view } = stretch.value;
  if (!view.before || view.before.arcs[arc]?.primary === track.name) return "";
  const was = view.before.arcs[arc]?.primary;
  return view.members.includes(was) && view.arcs[arc].in_sync.includes(was) ? "⇄" : "▲";
}

// With many arcs: three graphs, how many it is primary of, backup of, and catching up with.
function drawCounts({ pen, time, colour, run, boxes }, track) {
  const { row } = track;
  for (const { from, to, value } of seen(time, track.counts)) {
    const { x, width, words } = across(time, from, to);
    [PRIMARY, BACKUP, CATCHING_UP].forEach((part, line) => {
      const base = row.strips + (line + 1) * 15 - 1;
      const high = value[part] ? Math.max(2, (value[part] / run.countsMost) * 13) : 0;
      pen.fillStyle = colour.arcs[line];
      if (part === PRIMARY) pen.fillRect(x, base - high, width, high);
      else if (part === BACKUP) {
        pen.globalAlpha = 0.35;
        pen.fillRect(x, base - high, width, high);
        pen.globalAlpha = 1;
        pen.fillRect(x, base - high, width, high ? 1.5 : 0);
      } else if (high) hatch(pen, x, base - high, width, high, colour.arcs[line], 5);
      if (value[part]) label(pen, `${PARTS[part]} ${part === CATCHING_UP ? "with" : "of"} ${value[part]}`, words + 4, base - 6, x + width - words - 5, high > 10 && part === PRIMARY ? colour.paper : colour.ink);
    });
    boxes.push({ x, y: row.strips, width, height: 45, at: from, soft: true, words: `${track.name}: primary of ${some(value[PRIMARY], "arc")}, backup of ${value[BACKUP]}, catching up with ${value[CATCHING_UP]}\n${moment(from)} to ${moment(to)}` });
  }
}

// A cut is a broken line under both nodes for as long as it lasts, joined at its beginning and end. An arrow says who cannot reach whom.
function drawCuts({ pen, time, colour, run, boxes }) {
  for (const cut of run.cuts) {
    if (cut.from > time.window.to || cut.to < time.window.from) continue;
    const to = Math.min(cut.to, run.end);
    const left = Math.max(time.x(cut.from), -4);
    const right = Math.min(time.x(to), time.window.width + 4);
    const ends = [cut.one, cut.other].map((track, i) => track.row.cuts + 2.5 + 2 * cut.lines[i]);
    pen.strokeStyle = colour.bad;
    pen.lineWidth = 1.3;
    pen.setLineDash([5, 3]);
    pen.beginPath();
    for (const y of ends) {
      pen.moveTo(left, y);
      pen.lineTo(right, y);
    }
    for (const x of [left, right]) {
      if (x < 0 || x > time.window.width) continue;
      pen.moveTo(x, ends[0]);
      pen.lineTo(x, ends[1]);
    }
    pen.stroke();
    pen.setLineDash([]);
    if (left > 0) {
      for (const y of cut.both ? ends : [ends[1]]) label(pen, "✂", left - 5, y + 1, 14, colour.bad, `bold 13px ${FONT.slice(5)}`);
    }
    const words = cut.both ? `cut: ${cut.one.name} and ${cut.other.name} do not reach each other` : `cut: what ${cut.one.name} says does not reach ${cut.other.name}`;
    for (const y of ends) boxes.push({ x: left, y: y - 2, width: right - left, height: 4, at: cut.from, words: `${words}\n${moment(cut.from)} to ${moment(to)}, ${lasting(to - cut.from)}` });
  }
  // One name for all cuts of a node that begin together, or last while others come.
  for (const track of run.tracks) {
    let until = -Infinity;
    for (const cut of track.cuts) {
      if (cut.from < until || cut.from > time.window.to || cut.to < time.window.from) continue;
      const same = track.cuts.filter((each) => each.from === cut.from);
      const names = (list) => [...new Set(list)].join(", ");
      const both = names(same.filter((c) => c.both).map((c) => (c.one === track ? c.other.name : c.one.name)));
      const unheard = names(same.filter((c) => !c.both && c.one === track).map((c) => c.other.name));
      const deaf = names(same.filter((c) => !c.both && c.other === track).map((c) => c.one.name));
      const said = [both && `cut off from ${both}`, unheard && `not heard by ${unheard}`, deaf && `does not hear ${deaf}`].filter(Boolean).join(", ");
      const left = Math.max(time.x(cut.from), 0) + 9;
      const room = Math.min(time.x(Math.min(cut.to, run.end)), time.window.width) - left - 4;
      pen.font = FONT;
      const wide = Math.min(pen.measureText(said).width + 4, room);
      if (wide > 30) {
        pen.fillStyle = colour.raised;
        pen.fillRect(left - 2, track.row.cuts, wide, 12);
        label(pen, said, left, track.row.cuts + 6, room, colour.bad);
      }
      until = Math.min(cut.to, cut.from + (time.across() * wide) / time.window.width);
    }
  }
}
