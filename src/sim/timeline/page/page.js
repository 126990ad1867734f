// The page itself: puts the words of the run in their places, and joins hands and keys to what is drawn. Whatever comes from the run
// enters as text, never as markup.

function begin() {
  const started = performance.now();
  const byId = (id) => document.getElementById(id);
  const source = byId("trace");
  const run = read(JSON.parse(source.textContent));
  source.remove();
  partsOverTime(run, ARC_ROWS_MAX);
  let colour = colours();
  const plan = layOut(run, byId("names"));
  byId("chart").style.gridAutoRows = `${plan.height}px`;
  const time = scale(run.end, () => redraw());
  const plane = byId("plane");
  const filter = { shown: false, words: "", node: -1 };
  const sheet = { run, plan, time, colour, pen: null, boxes: [], chosen: undefined };
  let above = null;
  let small = null;
  let traffic = { all: 0, drawn: [] };
  // The moment that was chosen, and the one under the pointer, which goes first.
  // At first what was violated, or else the ring when all was well for the first time.
  const whole = run.health.find((each) => each.value.worst === PROTECTED);
  let cursor = run.violated.find((each) => each.at !== null)?.at ?? (whole ? (whole.from + whole.to) / 2 : 0);
  let pointed = null;
  let waiting = { rows: false, moment: false };

  heading(run, byId);
  judge(run, byId("verdict"), goToViolation);
  legend(byId("signs"), run);
  const happened = listHappenings(run, { list: byId("list"), rows: byId("rows"), sorts: byId("sorts") }, (each) => {
    if (each.violation) goToViolation(each.violation);
    else {
      goTo(each.at);
      tell(`${moment(each.at)}\n${each.words}`, each.broken);
    }
  });
  nodeChoice(run, byId);

  // Everything is drawn at most once a frame.
  function later() {
    if (waiting.asked) return;
    waiting.asked = true;
    requestAnimationFrame(() => {
      const { rows, moment: now } = waiting;
      waiting = { rows: false, moment: false };
      if (rows) drawAll();
      if (rows || now) drawMoment();
    });
  }
  function redraw() {
    waiting.rows = true;
    later();
  }
  function remoment() {
    waiting.moment = true;
    later();
  }

  function measure() {
    time.window.width = Math.max(plane.clientWidth, 50);
    sheet.pen = fit(byId("drawing"), time.window.width, plan.height);
    above = fit(byId("above"), time.window.width, plan.height);
    const overview = byId("overview");
    small = { pen: fit(overview, overview.clientWidth, 26), width: overview.clientWidth };
    happened.draw();
    redraw();
  }

  function drawAll() {
    drawRows(sheet);
    traffic = filter.shown ? messagesSeen(run, time, filter) : { all: 0, drawn: [] };
    if (filter.shown) drawMessages(sheet, traffic);
    const drawn = traffic.drawn.length;
    byId("drawn").textContent = !filter.shown
      ? ""
      : drawn < traffic.all
        ? `${drawn.toLocaleString("en")} of ${some(traffic.all, "message")} drawn: zoom in`
        : some(drawn, "message");
    byId("window").textContent = `${moment(Math.max(time.window.from, 0), time.across())} to ${moment(Math.min(time.window.to, run.end), time.across())}`;
    drawOverview(small, run, time, colour);
  }

  function drawMoment() {
    const at = pointed ?? cursor;
    above.clearRect(0, 0, time.window.width, plan.height);
    drawCursor(above, time, plan, cursor, pointed, colour);
    const newest = newestAt(run, at);
    byId("now").textContent = `${moment(at, Math.min(time.across(), 1e6))}${newest ? `, view ${newest.number}` : ""}`;
    drawRing(byId("ring"), run, at, colour);
    const state = run.health.length ? last(run.health, at, (each) => each.from)?.value : null;
    byId("ring-words").textContent = state ? `${state.worst === PROTECTED ? "✓" : state.worst === ALONE ? "!" : "✗"} ${state.words}` : "no view yet";
    fillHolders(byId("holders"), run, at, colour);
    for (const track of run.tracks) track.row.now.textContent = trackWords(run, track, at);
    if (pointed === null) happened.mark(at);
  }

  function goTo(at, wide) {
    cursor = time.clamp(at);
    pointed = null;
    time.show(cursor, wide);
    remoment();
  }

  function goToViolation(each) {
    sheet.chosen = each.operation;
    let words = `✗ ${each.check}\n${each.words}`;
    if (each.operation !== undefined) words += `\n\n${operationWords(run, each.operation)}`;
    tell(words, true);
    plane.dataset.chosen = each.operation === undefined ? "" : run.operations.number[each.operation];
    if (each.at === null) return;
    const all = run.operations;
    const long = each.operation === undefined ? 0 : Math.min(all.answered[each.operation], run.end) - all.asked[each.operation];
    goTo(each.at, Math.min(Math.max(long * 8, run.end / 25), run.end));
    redraw();
  }

  function tell(words, broken) {
    const chosen = byId("chosen");
    chosen.hidden = false;
    chosen.textContent = words;
    chosen.classList.toggle("broken", Boolean(broken));
  }

  // What lies under the pointer: the last box drawn there, but a message or an operation goes before a stretch.
  function under(x, y) {
    const inside = (box) => x >= box.x - 1 && x <= box.x + box.width + 1 && y >= box.y && y <= box.y + box.height;
    const boxes = sheet.boxes.filter(inside);
    const firm = boxes.findLast((box) => !box.soft);
    if (firm) return firm;
    if (filter.shown) {
      const i = messageAt(run, time, traffic.drawn, x, y);
      if (i !== undefined) return { at: run.messages.at[i], words: messageWords(run, i) };
    }
    const row = plan.rows.find((each) => y >= each.top && y < each.top + each.height);
    if (row?.kind === "client") {
      const i = operationAt(run, time, row, x);
      if (i !== undefined) return { at: run.operations.asked[i], words: operationWords(run, i), operation: i };
    }
    return boxes.findLast((box) => box.soft);
  }

  const place = (event) => {
    const box = plane.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  let held = null;
  plane.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const { x } = place(event);
    held = { x, from: time.window.from, moved: false };
    plane.setPointerCapture(event.pointerId);
  });
  plane.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    if (held) {
      if (Math.abs(x - held.x) > 4) held.moved = true;
      if (held.moved) {
        plane.classList.add("held");
        const across = time.across();
        const from = held.from - ((x - held.x) / time.window.width) * across;
        time.set(from, from + across);
        tip(null);
        return;
      }
    }
    pointed = time.clamp(time.at(x));
    remoment();
    tip(under(x, y)?.words, event);
  });
  plane.addEventListener("pointerup", (event) => {
    const { x, y } = place(event);
    const was = held;
    held = null;
    plane.classList.remove("held");
    if (!was || was.moved) return;
    const found = under(x, y);
    if (found?.violation) {
      goToViolation(found.violation);
      return;
    }
    cursor = time.clamp(found && !found.soft ? found.at : time.at(x));
    if (found) tell(found.words);
    sheet.chosen = found?.operation;
    redraw();
  });
  plane.addEventListener("pointerleave", () => {
    pointed = null;
    tip(null);
    remoment();
  });
  plane.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const by = event.deltaMode === 1 ? 16 : 1;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        time.move(((event.deltaX || event.deltaY) * by * time.across()) / time.window.width);
      } else time.zoom(Math.exp(Math.min(Math.max(event.deltaY * by, -200), 200) * 0.0022), time.at(place(event).x));
    },
    { passive: false },
  );

  // The strip above: wherever it is touched, the window goes.
  const overview = byId("overview");
  const slide = (event) => {
    if (!event.buttons) return;
    const box = overview.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * run.end;
    time.set(at - time.across() / 2, at + time.across() / 2);
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    slide(event);
  });
  overview.addEventListener("pointermove", slide);

  const step = (forth) => {
    const each = happened.step(cursor, forth);
    if (!each) return;
    goTo(each.at);
    tell(`${moment(each.at)}\n${each.words}`, each.broken || each.violation);
  };
  const play = player(byId("play"), {
    // The whole window in about twelve seconds.
    tick: (seconds) => {
      pointed = null;
      cursor = Math.min(cursor + (seconds * time.across()) / 12, run.end);
      time.show(cursor);
      remoment();
      return cursor < run.end;
    },
    again: () => {
      if (cursor >= run.end) cursor = 0;
    },
  });
  const toggle = (shown) => {
    filter.shown = shown;
    byId("messages").checked = shown;
    redraw();
  };
  byId("zoom-in").addEventListener("click", () => time.zoom(0.5, pointed ?? cursor));
  byId("zoom-out").addEventListener("click", () => time.zoom(2, pointed ?? cursor));
  byId("whole").addEventListener("click", () => time.whole());
  byId("back").addEventListener("click", () => step(false));
  byId("forth").addEventListener("click", () => step(true));
  byId("messages").addEventListener("change", (event) => toggle(event.target.checked));
  byId("message-words").addEventListener("input", (event) => {
    filter.words = event.target.value.toLowerCase();
    toggle(true);
  });
  byId("message-node").addEventListener("change", (event) => {
    filter.node = Number(event.target.value);
    toggle(true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      ArrowLeft: () => time.move(-time.across() / 8),
      ArrowRight: () => time.move(time.across() / 8),
      "+": () => time.zoom(0.6, pointed ?? cursor),
      "=": () => time.zoom(0.6, pointed ?? cursor),
      "-": () => time.zoom(1 / 0.6, pointed ?? cursor),
      0: () => time.whole(),
      ",": () => step(false),
      ".": () => step(true),
      m: () => toggle(!filter.shown),
      " ": () => (event.target.matches("button, summary") ? false : play()),
    };
    const done = keys[event.key];
    if (done && done() !== false) event.preventDefault();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colour = sheet.colour = colours();
    legend(byId("signs"), run);
    redraw();
  });
  new ResizeObserver(measure).observe(plane);
  measure();
  time.whole();
  document.documentElement.dataset.ready = `${Math.round(performance.now() - started)}`;
}

try {
  addEventListener("error", (event) => wrong(event.message));
  begin();
} catch (error) {
  wrong(error.message);
  throw error;
}
