// Draws what there may be hundreds of thousands of: operations of clients and, when asked for, messages. Never more than a screen
// can show.

const SEVERITY = [1, 2, 3, 3];
const MESSAGES_DRAWN_MAX = 1500;

function drawOperations({ pen, time, colour, run, chosen }, row) {
  const all = run.operations;
  const { list } = row.each;
  const y = row.top + 2;
  const height = row.height - 4;
  const width = time.window.width;
  // What falls on one column of the screen is drawn once, by the worst of it.
  const column = new Int8Array(Math.ceil(width) + 2);
  const lookBack = time.window.from - all.longest;
  const wide = [];
  const drawOpen = (i) => {
    const x = Math.max(time.x(all.asked[i]), -2);
    const right = Math.min(time.x(all.answered[i] === NEVER ? run.end : all.answered[i]), width + 2);
    if (right - x >= 3) {
      wide.push([i, x, right - x]);
      return;
    }
    const at = Math.min(Math.max(Math.round(x), 0), column.length - 1);
    if (SEVERITY[all.outcome[i]] > SEVERITY[column[at] - 1] || !column[at]) column[at] = all.outcome[i] + 1;
  };
  for (let k = after(list, lookBack, (i) => all.asked[i]); k < list.length && all.asked[list[k]] <= time.window.to; k++) {
    const i = list[k];
    if (all.answered[i] === NEVER || all.answered[i] >= time.window.from) drawOpen(i);
  }
  // Those that were never answered may have been asked long before.
  for (const i of row.each.open) if (all.asked[i] < lookBack) drawOpen(i);
  for (let x = 0; x < column.length; x++) {
    if (!column[x]) continue;
    const outcome = column[x] - 1;
    const short = outcome === DONE ? 3 : 0;
    pen.fillStyle = outcome === DONE ? colour.done : outcome === NOT_DONE ? colour.faint : outcome === UNKNOWN ? colour.warn : colour.bad;
    pen.fillRect(x, y + short, 1.5, height - 2 * short);
  }
  for (const [i, x, long] of wide) operationBox(pen, colour, run, i, x, y, long, height);
  // Round what was chosen, and round whatever was violated.
  for (const i of new Set([chosen, ...run.violated.map((each) => each.operation)])) {
    if (i === undefined || !row.each.clients.includes(all.client[i])) continue;
    const x = time.x(all.asked[i]);
    const right = time.x(Math.min(all.answered[i], run.end));
    pen.strokeStyle = run.violated.some((each) => each.operation === i) ? colour.bad : colour.focus;
    pen.lineWidth = 2.5;
    pen.strokeRect(x - 4, row.top, Math.max(right - x, 2) + 8, row.height);
  }
}

function operationBox(pen, colour, run, i, x, y, width, height) {
  const outcome = run.operations.outcome[i];
  const words = run.data.words[run.operations.words[i]];
  if (outcome === DONE) {
    pen.fillStyle = colour.done;
    pen.fillRect(x, y + 2, width, height - 4);
    label(pen, words, Math.max(x, 0) + 4, y + height / 2 + 0.5, width - 6, colour.paper);
    return;
  }
  const ink = outcome === NOT_DONE ? colour.faint : outcome === UNKNOWN ? colour.warn : colour.bad;
  pen.fillStyle = outcome === UNKNOWN ? colour["warn-paper"] : colour.raised;
  pen.fillRect(x, y, width, height);
  if (outcome !== NOT_DONE) hatch(pen, x, y, width, height, ink, 5);
  pen.strokeStyle = ink;
  pen.lineWidth = 1.3;
  pen.setLineDash(outcome === UNANSWERED ? [3, 2] : []);
  pen.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  pen.setLineDash([]);
  const sign = outcome === UNKNOWN ? "? " : outcome === NOT_DONE ? "– " : "… ";
  if (width > 20) {
    pen.font = BOLD;
    pen.fillStyle = outcome === UNKNOWN ? colour["warn-paper"] : colour.raised;
    pen.fillRect(Math.max(x, 0) + 2, y + 1, Math.min(pen.measureText(sign + words).width + 4, width - 4), height - 2);
  }
  label(pen, sign + words, Math.max(x, 0) + 4, y + height / 2 + 0.5, width - 5, colour.ink, BOLD);
}

// Which operation lies under a point of a client's row: the one whose edge is nearest, within a few pixels.
function operationAt(run, time, row, x) {
  const all = run.operations;
  const { list } = row.each;
  const at = time.at(x);
  const slack = (time.across() / time.window.width) * 4;
  let best;
  let least = slack;
  const look = (i) => {
    const to = all.answered[i] === NEVER ? run.end : all.answered[i];
    const off = Math.max(all.asked[i] - at, at - to, 0);
    // Of several under the pointer, what went wrong is what one looks for.
    if (off < least || (off === least && best !== undefined && SEVERITY[all.outcome[i]] > SEVERITY[all.outcome[best]])) {
      best = i;
      least = off;
    }
  };
  for (let k = after(list, at - all.longest - slack, (i) => all.asked[i]); k < list.length && all.asked[list[k]] <= at + slack; k++) look(list[k]);
  for (const i of row.each.open) if (all.asked[i] <= at + slack) look(i);
  return best;
}

// Chooses the messages of the window that the filter lets through, evenly thinned out if there are too many to be told apart.
function messagesSeen(run, time, filter) {
  const { messages } = run;
  const found = [];
  const wanted = filter.words ? run.data.words.map((words) => words.toLowerCase().includes(filter.words)) : null;
  for (let i = firstSent(messages, time.window.from - messages.longest); i < messages.count && messages.at[i] <= time.window.to; i++) {
    if (wanted && !wanted[messages.words[i]]) continue;
    if (filter.node >= 0 && messages.from[i] !== filter.node && messages.to[i] !== filter.node) continue;
    const until = messages.arrives[i] === NEVER ? messages.at[i] : messages.arrives[i];
    if (until >= time.window.from) found.push(i);
  }
  const all = found.length;
  if (all <= MESSAGES_DRAWN_MAX) return { all, drawn: found };
  const step = all / MESSAGES_DRAWN_MAX;
  return { all, drawn: Array.from({ length: MESSAGES_DRAWN_MAX }, (_, k) => found[Math.floor(k * step)]) };
}

function firstSent(messages, at) {
  let low = 0;
  let high = messages.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (messages.at[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Where a message begins and ends on the sheet. One that never arrives falls short of its goal.
function messageLine(run, time, i) {
  const { messages } = run;
  const from = run.tracks[messages.from[i]];
  const to = run.tracks[messages.to[i]];
  if (!from || !to) return null;
  const lost = messages.arrives[i] === NEVER;
  const short = lost ? 0.45 : 1;
  const travel = lost ? Math.max(messages.longest / 4, time.across() / 200) : messages.arrives[i] - messages.at[i];
  const x = time.x(messages.at[i]);
  return { x, y: from.middle, toX: x + (travel / time.across()) * time.window.width * short, toY: from.middle + (to.middle - from.middle) * short, lost };
}

function drawMessages({ pen, time, colour, run }, { drawn }) {
  pen.lineWidth = 1;
  pen.globalAlpha = Math.min(0.75, 6 / Math.sqrt(Math.max(drawn.length, 1)));
  for (const lost of [false, true]) {
    pen.strokeStyle = lost ? colour.bad : colour.focus;
    pen.setLineDash(lost ? [4, 3] : []);
    pen.beginPath();
    const heads = [];
    for (const i of drawn) {
      const line = messageLine(run, time, i);
      if (!line || line.lost !== lost) continue;
      pen.moveTo(line.x, line.y);
      pen.lineTo(line.toX, line.toY);
      heads.push(line);
    }
    pen.stroke();
    pen.setLineDash([]);
    if (drawn.length > 600) continue;
    pen.beginPath();
    for (const { x, y, toX, toY } of heads) {
      if (lost) {
        pen.moveTo(toX - 4, toY - 4);
        pen.lineTo(toX + 4, toY + 4);
        pen.moveTo(toX + 4, toY - 4);
        pen.lineTo(toX - 4, toY + 4);
        continue;
      }
      const angle = Math.atan2(toY - y, toX - x);
      for (const side of [-0.4, 0.4]) {
        pen.moveTo(toX, toY);
        pen.lineTo(toX - 7 * Math.cos(angle + side), toY - 7 * Math.sin(angle + side));
      }
    }
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

// Which drawn message lies nearest to a point, within a few pixels.
function messageAt(run, time, drawn, x, y) {
  let best;
  let least = 5;
  for (const i of drawn) {
    const line = messageLine(run, time, i);
    if (!line) continue;
    const [along, up] = [line.toX - line.x, line.toY - line.y];
    const share = Math.min(Math.max(((x - line.x) * along + (y - line.y) * up) / (along * along + up * up || 1), 0), 1);
    const off = Math.hypot(x - line.x - share * along, y - line.y - share * up);
    if (off < least) {
      best = i;
      least = off;
    }
  }
  return best;
}
