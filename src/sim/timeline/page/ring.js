// The ring at one moment: who lives, which view each has, who sends its copies to whom, what is cut; and the same in a table.

const SVG = "http://www.w3.org/2000/svg";

function figure(kind, settings, words) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(settings)) made.setAttribute(name, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

function element(kind, words, name) {
  const made = document.createElement(kind);
  if (words !== undefined) made.textContent = words;
  if (name) made.className = name;
  return made;
}

function drawRing(svg, run, at, colour) {
  const parts = [];
  const count = run.tracks.length;
  const [middleX, middleY, radiusX, radiusY] = [160, 125, 112, 84];
  const size = count > 10 ? 13 : count > 6 ? 18 : 23;
  const places = run.tracks.map((_, i) => {
    const angle = (i / count) * 2 * Math.PI - Math.PI / 2;
    return { x: middleX + radiusX * Math.cos(angle), y: middleY + radiusY * Math.sin(angle) };
  });
  const newest = newestAt(run, at);
  parts.push(figure("ellipse", { cx: middleX, cy: middleY, rx: radiusX, ry: radiusY, fill: "none", stroke: colour.line, "stroke-width": 1.5 }));
  for (const cut of run.cuts) {
    if (cut.from <= at && at < cut.to) parts.push(...cutLine(places[cut.one.index], places[cut.other.index], cut, colour));
  }
  if (newest) for (const link of links(run, newest)) parts.push(...linkArrow(run, places, link, size, colour));
  run.tracks.forEach((track, i) => parts.push(...nodeSign(run, track, at, newest, places[i], size, colour)));
  svg.replaceChildren(...parts);
}

// From a primary to each of its backups: which arcs.
function links(run, view) {
  const found = new Map();
  view.arcs.forEach((roles, arc) => {
    if (roles.lost || !roles.served) return;
    const add = (to, learning) => {
      if (!run.track(to) || !run.track(roles.primary)) return;
      const key = JSON.stringify([roles.primary, to, learning]);
      if (!found.has(key)) found.set(key, { from: run.track(roles.primary).index, to: run.track(to).index, learning, arcs: [] });
      found.get(key).arcs.push(arc);
    };
    roles.in_sync.forEach((to) => add(to, false));
    if (roles.catching_up) add(roles.catching_up, true);
  });
  return [...found.values()];
}

function linkArrow(run, places, link, size, colour) {
  const [from, to] = [places[link.from], places[link.to]];
  const long = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [unitX, unitY] = [(to.x - from.x) / long, (to.y - from.y) / long];
  // Bent to the left, so that two links between the same nodes lie apart; one that catches up a little more.
  const bend = 0.16 * long + (link.learning ? 12 : 0);
  const handle = { x: (from.x + to.x) / 2 + unitY * bend, y: (from.y + to.y) / 2 - unitX * bend };
  const reach = (place) => {
    const [dx, dy] = [handle.x - place.x, handle.y - place.y];
    const off = Math.hypot(dx, dy) || 1;
    return { x: place.x + (dx / off) * (size + 3), y: place.y + (dy / off) * (size + 3) };
  };
  const [start, stop] = [reach(from), reach(to)];
  const ink = run.perArc ? colour.arcs[link.arcs[0] % colour.arcs.length] : colour.focus;
  const angle = Math.atan2(stop.y - handle.y, stop.x - handle.x);
  const corner = (side) => `${stop.x - 10 * Math.cos(angle + side)} ${stop.y - 10 * Math.sin(angle + side)}`;
  const line = { d: `M${start.x} ${start.y} Q${handle.x} ${handle.y} ${stop.x} ${stop.y}`, fill: "none", stroke: ink, "stroke-width": 2.5 };
  if (link.learning) line["stroke-dasharray"] = "3 4";
  const words = run.perArc ? link.arcs.join(", ") : `${link.arcs.length}`;
  // On the curve: half way, or a third of it for one that catches up, so that the numbers of two links between the same nodes lie apart.
  const share = link.learning ? 0.3 : 0.5;
  const along = (axis) => (1 - share) ** 2 * start[axis] + 2 * share * (1 - share) * handle[axis] + share ** 2 * stop[axis];
  const middle = { x: along("x"), y: along("y") };
  const wide = 8 + 7 * words.length;
  const group = figure("g", { class: "link", "data-from": run.nodes[link.from], "data-to": run.nodes[link.to], "data-catching-up": link.learning });
  group.append(
    figure("path", line),
    figure("path", { d: `M${stop.x} ${stop.y} L${corner(0.42)} L${corner(-0.42)} z`, fill: ink }),
  );
  // In a large ring there is no room for numbers; pointing at a link still tells them.
  const visibility = run.tracks.length > CROWD ? "hidden" : "visible";
  group.append(
    figure("rect", { x: middle.x - wide / 2, y: middle.y - 8, width: wide, height: 16, rx: 4, fill: colour.raised, stroke: ink, visibility }),
    figure("text", { x: middle.x, y: middle.y + 4, "text-anchor": "middle", visibility }, words),
    figure("title", {}, `${run.nodes[link.from]} sends ${arcList(link.arcs)} to ${run.nodes[link.to]}${link.learning ? ", which catches up" : ""}`),
  );
  return [group];
}

function cutLine(from, to, cut, colour) {
  const middle = { x: (2 * from.x + to.x) / 3, y: (2 * from.y + to.y) / 3 };
  return [
    figure("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, stroke: colour.bad, "stroke-width": 1.5, "stroke-dasharray": "5 4" }),
    figure("text", { x: middle.x, y: middle.y + 5, "text-anchor": "middle", style: `fill:${colour.bad}` }, cut.both ? "✂" : "✂→"),
  ];
}

function nodeSign(run, track, at, newest, place, size, colour) {
  const life = lifeAt(track, at);
  const view = installedAt(run, track, at);
  const paused = pausedAt(track, at);
  const old = view && newest && view.number < newest.number;
  const member = Boolean(newest?.members.includes(track.name));
  const group = figure("g", { class: "node", "data-node": track.name });
  const ring = { cx: place.x, cy: place.y, r: size, fill: life ? colour.alive : colour.raised, stroke: old ? colour.warn : colour.ink, "stroke-width": old ? 3 : 1.5 };
  if (!member || !life) ring["stroke-dasharray"] = "3 3";
  group.append(figure("circle", ring), figure("text", { x: place.x, y: place.y + (size > 15 ? 1 : 4), "text-anchor": "middle", style: `font-weight:700;font-size:${size > 20 ? 15 : 11}px;opacity:${life ? 1 : 0.5}` }, track.name));
  const below = !life ? "" : view ? `v${view.number}` : "–";
  if (size > 15) group.append(figure("text", { x: place.x, y: place.y + 14, "text-anchor": "middle", style: "font-size:10px" }, below));
  if (!life || paused) {
    const sign = life ? "‖" : "✕";
    group.append(figure("text", { x: place.x + size * 0.75, y: place.y - size * 0.55, "text-anchor": "middle", style: `fill:${colour.bad};font-weight:700;font-size:17px` }, sign));
  }
  group.append(figure("title", {}, `${track.name}: ${trackWords(run, track, at)}`));
  return [group];
}

// What is to be said of a node at a moment, in few words.
function trackWords(run, track, at) {
  const life = lifeAt(track, at);
  if (!life) {
    const before = last(track.lives, at, (l) => l.from);
    return before ? before.how || "ended" : "not started";
  }
  const view = installedAt(run, track, at);
  const newest = newestAt(run, at);
  const words = [pausedAt(track, at) ? "paused" : "alive"];
  if (view) words.push(newest && view.number < newest.number ? `still view ${view.number}` : `view ${view.number}`);
  else words.push("no view");
  return words.join(", ");
}

const HOLDERS_MAX = 16;
const CROWD = 8;

// Who holds what. With many arcs only those that are not well.
function fillHolders(table, run, at, colour) {
  const newest = newestAt(run, at);
  const rows = [];
  let more = 0;
  newest?.arcs.forEach((roles, arc) => {
    const state = arcState(run, newest, arc, at);
    if (newest.arcs.length > HOLDERS_MAX && state === PROTECTED) return;
    if (rows.length >= HOLDERS_MAX) {
      more++;
      return;
    }
    const row = element("tr");
    const number = element("td");
    const chip = element("span", `${arc}`, "chip");
    chip.style.background = run.perArc ? colour.arcs[arc % colour.arcs.length] : colour.done;
    number.append(chip);
    const primary = roles.lost ? "–" : roles.served ? roles.primary : `(${roles.primary})`;
    const backups = [...roles.in_sync, ...(roles.catching_up ? [`${roles.catching_up} catching up`] : [])].join(", ");
    const said = state === PROTECTED ? "✓" : state === ALONE ? "! no backup" : `✗ ${state === UNSERVED ? "primary down" : STATES[state]}`;
    row.append(number, element("td", primary), element("td", backups || "–"), element("td", said, state === PROTECTED ? "" : state === ALONE ? "alone" : "trouble"));
    rows.push(row);
  });
  if (more) {
    const row = element("tr");
    const cell = element("td", `and ${some(more, "arc")} more`);
    cell.colSpan = 4;
    row.append(cell);
    rows.push(row);
  }
  table.hidden = !rows.length;
  table.tBodies[0].replaceChildren(...rows);
}
