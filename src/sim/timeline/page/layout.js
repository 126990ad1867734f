// Which row lies where, and the names beside them. The names are elements, so that they can be read aloud, found and tested.

const ARC_ROWS_MAX = 8;

function layOut(run, names) {
  const rows = [];
  let top = 0;
  const add = (kind, height, name, more) => {
    rows.push({ kind, top, height, name, ...more });
    top += height;
    return rows[rows.length - 1];
  };
  add("ruler", 20, "");
  if (run.steps.length) add("script", 46, "script");
  add("views", 20, "views");
  if (run.violated.length || run.expected.length) add("checks", 22, "checks");
  if (run.marks.length) add("marks", 16, "marks");
  add("health", 22, "copies");
  for (const track of run.tracks) {
    const cut = track.cuts.length ? 13 : 0;
    const strip = run.arcs <= 4 ? 13 : 12;
    const height = Math.max(6 + 19 + cut + (run.perArc ? run.arcs * strip : 3 * 15) + 3, 46);
    const row = add("track", height, track.name, { track, strip, bar: top + 5, cuts: top + 25, strips: top + 25 + cut });
    track.row = row;
    track.middle = row.bar + 9;
  }
  for (const each of run.operations.rows) {
    const shared = each.clients.length > 1;
    const height = run.operations.rows.length > 6 ? 14 : 18;
    add("client", height, shared ? `${each.clients.length} clients` : `client ${each.clients[0]}`, { each });
  }
  add("end", 6, "");
  names.replaceChildren();
  for (const row of rows) {
    if (!row.name) continue;
    const label = document.createElement("div");
    label.className = `name ${row.kind}`;
    label.style.top = `${row.top}px`;
    label.style.height = `${row.height}px`;
    if (row.kind === "track") {
      label.dataset.node = row.name;
      const strong = document.createElement("b");
      strong.textContent = row.name;
      row.now = document.createElement("span");
      row.now.className = "now";
      label.append(strong, row.now);
    } else {
      label.textContent = row.name;
      label.style.lineHeight = `${row.height}px`;
    }
    names.append(label);
  }
  return { rows, height: top, row: (kind) => rows.find((row) => row.kind === kind) };
}
