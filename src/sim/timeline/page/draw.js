// Draws the rows of the present window on a canvas. What can be pointed at is noted down as a box while it is drawn; rows that may
// hold hundreds of thousands of things are searched by time instead.

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const named = {};
  for (const name of ["paper", "raised", "ink", "faint", "line", "alive", "band", "bad", "bad-paper", "warn", "warn-ink", "warn-paper", "good", "good-paper", "focus", "done"]) named[name] = of(name);
  named.arcs = Array.from({ length: ARC_ROWS_MAX }, (_, i) => of(`arc${i}`));
  return named;
}

const FONT = '11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
const BOLD = `bold ${FONT}`;

// A canvas as large as its place, in the screen's own pixels.
function fit(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

// Slanted lines within a box: the sign of what is not quite so.
function hatch(pen, x, y, width, height, colour, apart = 6) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.strokeStyle = colour;
  pen.lineWidth = 1.4;
  pen.beginPath();
  for (let at = Math.floor((x - height) / apart) * apart; at < x + width; at += apart) {
    pen.moveTo(at, y + height);
    pen.lineTo(at + height, y);
  }
  pen.stroke();
  pen.restore();
}

// Words within a box, cut off where they do not fit; none at all if too little of them would be seen.
function label(pen, words, x, y, width, colour, font = FONT) {
  if (width < 8) return;
  pen.font = font;
  let said = words;
  if (pen.measureText(said).width > width) {
    const room = Math.floor((width / pen.measureText(said).width) * said.length) - 1;
    if (room < 2) return;
    said = `${said.slice(0, room)}…`;
  }
  pen.fillStyle = colour;
  pen.fillText(said, x, y);
}

function drawRows(sheet) {
  const { pen, time, plan, colour, run } = sheet;
  const width = time.window.width;
  sheet.boxes = [];
  pen.clearRect(0, 0, width, plan.height);
  pen.textBaseline = "middle";
  pen.fillStyle = colour.band;
  const start = time.x(0);
  const stop = time.x(run.end);
  pen.fillRect(0, 0, Math.max(0, start), plan.height);
  pen.fillRect(Math.min(width, stop), 0, width, plan.height);
  drawRuler(sheet);
  drawViews(sheet);
  if (plan.row("script")) drawFlags(sheet, plan.row("script"));
  if (plan.row("marks")) drawMarks(sheet, plan.row("marks"));
  drawHealth(sheet, plan.row("health"));
  for (const track of run.tracks) drawTrack(sheet, track);
  drawCuts(sheet);
  for (const row of plan.rows) if (row.kind === "client") drawOperations(sheet, row);
  if (plan.row("checks")) drawChecks(sheet, plan.row("checks"));
}

// The visible part of a list of stretches.
function* seen(time, list, from = (s) => s.from, to = (s) => s.to) {
  for (let i = Math.max(0, after(list, time.window.from, from) - 1); i < list.length && from(list[i]) <= time.window.to; i++) {
    if (to(list[i]) >= time.window.from) yield list[i];
  }
}

// Where a stretch lies on the sheet, a little beyond its edges at most, so that words in it stay in sight.
function across(time, from, to) {
  const left = Math.max(time.x(from), -4);
  const right = Math.min(time.x(to), time.window.width + 4);
  return { x: left, width: Math.max(right - left, 1), words: Math.max(left, 0) };
}

function drawRuler({ pen, time, plan, colour }) {
  const { step, found } = ticks(time, 90);
  pen.font = FONT;
  for (const at of found) {
    const x = Math.round(time.x(at)) + 0.5;
    pen.strokeStyle = colour.line;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, plan.height);
    pen.stroke();
    const digits = Math.max(0, -Math.floor(Math.log10(step / 1e6) + 1e-9));
    if (x + 30 < time.window.width) label(pen, `${(at / 1e6).toFixed(digits)} s`, x + 3, 10, 88, colour.faint);
  }
}

function viewNumbers(views) {
  const [first, final] = [views[0].number, views[views.length - 1].number];
  return first === final ? `${first}` : `${first}-${final}`;
}

// A flag for each view; those that come too soon after one another share theirs.
function drawViews({ pen, time, plan, colour, run, boxes }) {
  const row = plan.row("views");
  const flags = [];
  for (const view of seen(time, run.views, (v) => v.at, (v) => v.at)) {
    const x = time.x(view.at);
    const flag = flags[flags.length - 1];
    const words = flag && viewNumbers(flag.views);
    if (flag && x < flag.x + 12 + 7 * words.length) flag.views.push(view);
    else flags.push({ x, views: [view] });
  }
  for (const { x, views } of flags) {
    pen.strokeStyle = colour.faint;
    pen.globalAlpha = 0.55;
    pen.setLineDash([2, 3]);
    pen.beginPath();
    for (const at of views.length > 6 ? [x] : views.map((view) => time.x(view.at))) {
      pen.moveTo(Math.round(at) + 0.5, row.top + 3);
      pen.lineTo(Math.round(at) + 0.5, plan.height);
    }
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    const words = viewNumbers(views);
    pen.font = BOLD;
    const wide = pen.measureText(words).width + 10;
    pen.fillStyle = colour.ink;
    pen.beginPath();
    pen.roundRect(x, row.top + 2, wide, 15, [0, 7, 7, 0]);
    pen.fill();
    label(pen, words, x + 4, row.top + 10, wide, colour.paper, BOLD);
    const said = views.slice(0, 4).map((view) => `view ${view.number} at ${moment(view.at)}\n${view.changes.join("\n")}\nvoters: ${view.voters.join(", ")}`);
    if (views.length > 4) said.push(`and ${views.length - 4} more: zoom in`);
    boxes.push({ x, y: row.top, width: wide, height: 18, at: views[0].at, words: said.join("\n\n") });
  }
}

// Steps of the script, in as many lines as there is room for.
function drawFlags({ pen, time, plan, colour, run, boxes }, row) {
  const free = [-Infinity, -Infinity, -Infinity];
  for (const step of seen(time, run.steps, (s) => s.at, (s) => s.at)) {
    const x = time.x(step.at);
    pen.font = BOLD;
    const wide = pen.measureText(step.words).width + 12;
    // Near the right edge a flag would be cut off: it stands to the left of its pole.
    const left = x + wide > time.window.width && x > wide ? x - wide : x;
    const line = free.findIndex((until) => left >= until);
    pen.strokeStyle = colour.bad;
    pen.lineWidth = 1.3;
    pen.beginPath();
    pen.moveTo(x, row.top + 2 + Math.max(line, 0) * 15);
    pen.lineTo(x, row.top + row.height);
    pen.stroke();
    if (line >= 0) {
      const y = row.top + 2 + line * 15;
      pen.fillStyle = colour["bad-paper"];
      pen.fillRect(left, y, wide, 14);
      pen.strokeRect(left, y, wide, 14);
      label(pen, step.words, left + 6, y + 7.5, wide, colour.ink, BOLD);
      free[line] = left + wide + 3;
      boxes.push({ x: left, y, width: wide, height: 14, at: step.at, words: `${step.words}\nat ${moment(step.at)}${step.nodes.length ? `, concerns ${step.nodes.join(", ")}` : ""}` });
    } else {
      boxes.push({ x: x - 3, y: row.top, width: 6, height: row.height, at: step.at, words: step.words });
    }
    // A hair line leads down to whom it concerns.
    pen.globalAlpha = 0.4;
    const tracks = step.nodes.map((name) => run.track(name)?.middle).filter((y) => y !== undefined);
    if (tracks.length) {
      pen.beginPath();
      pen.moveTo(x, row.top + row.height);
      pen.lineTo(x, Math.max(...tracks));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
}

function drawMarks({ pen, time, colour, run, boxes }, row) {
  let free = -Infinity;
  for (const mark of seen(time, run.marks, (m) => m.at, (m) => m.at)) {
    const x = time.x(mark.at);
    if (x < free) continue;
    label(pen, "◆", x - 5, row.top + 8, 14, colour.faint);
    boxes.push({ x: x - 6, y: row.top, width: 12, height: row.height, at: mark.at, words: `${mark.words}\nreached at ${moment(mark.at)}` });
    free = x + 6;
  }
}

function drawHealth({ pen, time, colour, run, boxes }, row) {
  for (const { from, to, value } of seen(time, run.health)) {
    const { x, width, words } = across(time, from, to);
    const bad = value.worst >= UNSERVED;
    const y = row.top + 3;
    pen.fillStyle = value.worst === PROTECTED ? colour["good-paper"] : bad ? colour.bad : colour["warn-paper"];
    pen.fillRect(x, y, width, 16);
    // Slanted lines below, and room for words above them.
    if (value.worst === ALONE) hatch(pen, x, y + 12, width, 4, colour.warn, 5);
    pen.strokeStyle = value.worst === PROTECTED ? colour.good : bad ? colour.bad : colour.warn;
    pen.lineWidth = 1;
    pen.strokeRect(x + 0.5, y + 0.5, Math.max(width - 1, 0), 15);
    const sign = value.worst === PROTECTED ? "✓" : bad ? "✗" : "!";
    pen.font = BOLD;
    const said = [value.words, value.short].map((each) => `${sign} ${each}`).find((each) => pen.measureText(each).width < x + width - words - 8);
    label(pen, said ?? sign, words + 5, row.top + 11.5, x + width - words - 6, bad ? colour.paper : colour.ink, BOLD);
    boxes.push({ x, y, width, height: 16, at: from, soft: true, words: `${value.words}\n${moment(from)} to ${moment(to)}, ${lasting(to - from)}` });
  }
}

// Violations and expectations stand above everything, and a violated moment goes through all tracks.
function drawChecks({ pen, time, plan, colour, run, boxes }, row) {
  let free = -Infinity;
  for (const each of seen(time, run.expected, (e) => e.at, (e) => e.at)) {
    const x = time.x(each.at);
    if (x < free && each.holds) continue;
    label(pen, each.holds ? "✓" : "✗", x - 5, row.top + 11, 14, each.holds ? colour.good : colour.bad, `bold 14px ${FONT.slice(5)}`);
    boxes.push({ x: x - 7, y: row.top, width: 14, height: row.height, at: each.at, words: `expected: ${each.words}\n${each.holds ? "held" : "did not hold"} at ${moment(each.at)}` });
    free = x + 8;
  }
  for (const each of run.violated) {
    if (each.at === null || each.at < time.window.from || each.at > time.window.to) continue;
    const x = time.x(each.at);
    const until = each.operation === undefined ? each.at : Math.min(run.operations.answered[each.operation], run.end);
    const long = Math.max(time.x(until) - x, 0);
    pen.fillStyle = colour.bad;
    pen.globalAlpha = 0.16;
    pen.fillRect(x - 4, row.top + 14, long + 8, plan.height);
    pen.globalAlpha = 1;
    for (const side of [x - 4, x + long + 4]) pen.fillRect(side - 0.75, row.top + 14, 1.5, plan.height);
    pen.font = BOLD;
    const words = `✗ ${each.check}`;
    const wide = pen.measureText(words).width + 12;
    const left = Math.min(Math.max(x - wide / 2, 2), time.window.width - wide - 2);
    pen.fillStyle = colour.bad;
    pen.beginPath();
    pen.roundRect(left, row.top + 2, wide, 17, 4);
    pen.fill();
    label(pen, words, left + 6, row.top + 11, wide, colour.paper, BOLD);
    boxes.push({ x: left, y: row.top, width: wide, height: row.height, at: each.at, violation: each, words: `${each.check}: ${each.words}` });
  }
}
