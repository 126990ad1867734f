// What stands around the drawing: heading, verdict, legend, the small strip above, cursor, pointer's words, play.

// The page never fails in silence.
function wrong(words) {
  const place = document.getElementById("wrong");
  place.hidden = false;
  place.textContent = `This page failed: ${words}. What it was made from is still in it, as JSON, at the end.`;
}

function heading(run, byId) {
  const { data } = run;
  document.title = data.title ? `${data.title}: timeline` : "Timeline";
  byId("title").textContent = data.title || "A run";
  byId("about").textContent = data.about;
  const facts = [data.engine, lasting(run.end), some(run.nodes.length, "node"), some(data.arcs, "arc"), some(run.operations.count, "operation"), some(run.messages.count, "message")];
  byId("facts").textContent = facts.filter(Boolean).join(" · ");
  byId("repeat").textContent = data.repeat;
  byId("repeat-line").hidden = !data.repeat;
  byId("copy").addEventListener("click", () => copy(data.repeat, byId("copy"), byId("repeat")));
}

function copy(words, button, place) {
  const said = (answer) => {
    button.textContent = answer;
    setTimeout(() => (button.textContent = "copy"), 1500);
  };
  const select = () => {
    getSelection().selectAllChildren(place);
    said("selected");
  };
  if (navigator.clipboard) navigator.clipboard.writeText(words).then(() => said("copied"), select);
  else select();
}

// How the run ended, before anything else.
function judge(run, place, go) {
  const lines = run.violated.map((each) => {
    const made = element("button", undefined, "judged broken");
    made.type = "button";
    made.dataset.check = each.check;
    const where = each.at === null ? "of no one moment" : `at ${moment(each.at)}, show`;
    made.append(element("span", "✗", "sign"), element("span", `Violated, ${each.check}: ${each.words}`, "said"), element("span", where, "go"));
    made.addEventListener("click", () => go(each));
    return made;
  });
  const broken = run.expected.filter((each) => !each.holds).length;
  if (!lines.length && !broken) {
    const made = element("div", undefined, "judged holds");
    const expected = run.expected.length ? `, and ${run.expected.length === 1 ? "its one expectation" : `all ${run.expected.length} expectations`} held` : "";
    made.append(element("span", "✓", "sign"), element("span", `All is well: no check was violated${expected}.`, "said"));
    lines.push(made);
  } else if (!lines.length) {
    const made = element("div", undefined, "judged broken");
    made.append(element("span", "✗", "sign"), element("span", `${some(broken, "expectation")} of ${run.expected.length} did not hold.`, "said"));
    lines.push(made);
  }
  if (run.data.missing) {
    const made = element("div", undefined, "judged broken");
    made.append(element("span", "!", "sign"), element("span", `This run was too long to be noted down whole: ${some(run.data.missing, "thing")} more happened at its end, and are not drawn.`, "said"));
    lines.push(made);
  }
  place.replaceChildren(...lines);
}

function nodeChoice(run, byId) {
  const choice = byId("message-node");
  [["any node", -1], ...run.nodes.map((name, i) => [name, i])].forEach(([name, value]) => {
    const made = element("option", name);
    made.value = value;
    choice.append(made);
  });
  const kinds = [...run.messages.kinds].sort((a, b) => b[1] - a[1]).slice(0, 100);
  for (const [words] of kinds) {
    const made = element("option");
    made.value = run.data.words[words];
    byId("kinds").append(made);
  }
}

// Each sign is drawn by the same hand as the drawing itself.
function legend(place, run) {
  const colour = colours();
  const sign = (words, paint) => {
    const made = element("span");
    const canvas = element("canvas");
    canvas.style.width = "26px";
    const pen = fit(canvas, 26, 14);
    pen.textBaseline = "middle";
    paint(pen);
    made.append(canvas, words);
    return made;
  };
  const box = (pen, ink, fill) => {
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    if (fill) {
      pen.fillStyle = fill;
      pen.fillRect(1, 1, 24, 12);
    }
    pen.strokeRect(1.75, 1.75, 22.5, 10.5);
  };
  const full = (pen, ink) => {
    pen.fillStyle = ink;
    pen.fillRect(1, 1, 24, 12);
  };
  const slanted = (pen, ink, dash) => {
    hatch(pen, 1, 1, 24, 12, ink, 5);
    if (dash) pen.setLineDash([3, 2]);
    box(pen, ink);
  };
  const text = (pen, words, ink) => {
    pen.font = BOLD;
    pen.fillStyle = ink;
    pen.fillText(words, 8, 7.5);
  };
  const [one] = colour.arcs;
  const signs = [];
  if (run.perArc) {
    signs.push(
      sign("primary of an arc", (pen) => full(pen, one)),
      sign("in-sync backup", (pen) => box(pen, one, `${one}28`)),
      sign("catching up", (pen) => slanted(pen, one, true)),
      sign("promoted", (pen) => text(pen, "▲", one)),
      sign("handed over", (pen) => text(pen, "⇄", one)),
    );
  }
  signs.push(
    sign("alive, with the newest view", (pen) => full(pen, colour.alive)),
    sign("alive, on an old view", (pen) => box(pen, colour.warn, colour["warn-paper"])),
    sign("paused", (pen) => hatch(pen, 1, 1, 24, 12, colour.bad)),
    sign("ended", (pen) => text(pen, "✕", colour.bad)),
    sign("a new process", (pen) => text(pen, "▶", colour.ink)),
    sign("cut", (pen) => text(pen, "✂", colour.bad)),
  );
  if (run.operations.count) {
    signs.push(
      sign("done", (pen) => full(pen, colour.done)),
      sign("not done", (pen) => box(pen, colour.faint)),
      sign("outcome unknown", (pen) => slanted(pen, colour.warn)),
      sign("never answered", (pen) => slanted(pen, colour.bad, true)),
    );
  }
  place.replaceChildren(...signs);
}

// The whole run in a strip: how its copies stood, what was violated, and which part is seen below.
function drawOverview({ pen, width }, run, time, colour) {
  const x = (at) => (at / run.end) * width;
  pen.clearRect(0, 0, width, 26);
  for (const { from, to, value } of run.health) {
    pen.fillStyle = value.worst === PROTECTED ? colour.good : value.worst === ALONE ? colour.warn : colour.bad;
    const high = value.worst === PROTECTED ? 4 : value.worst === ALONE ? 9 : 14;
    pen.fillRect(x(from), 26 - high, Math.max(x(to) - x(from), 1), high);
  }
  pen.fillStyle = colour.ink;
  let free = -1;
  for (const step of run.steps) {
    if (x(step.at) < free) continue;
    pen.fillRect(x(step.at), 0, 1.5, 9);
    free = x(step.at) + 2;
  }
  pen.font = BOLD;
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  pen.fillStyle = colour.bad;
  for (const each of run.violated) if (each.at !== null) pen.fillText("✗", Math.min(Math.max(x(each.at), 6), width - 6), 9);
  pen.textAlign = "start";
  const [left, right] = [Math.max(x(time.window.from), 0), Math.min(x(time.window.to), width)];
  pen.fillStyle = colour.paper;
  pen.globalAlpha = 0.6;
  pen.fillRect(0, 0, left, 26);
  pen.fillRect(right, 0, width - right, 26);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour.focus;
  pen.lineWidth = 2;
  pen.strokeRect(left + 1, 1, Math.max(right - left - 2, 2), 24);
}

function drawCursor(pen, time, plan, cursor, pointed, colour) {
  const line = (at, dash, wide) => {
    const x = time.x(at);
    if (x < 0 || x > time.window.width) return;
    pen.strokeStyle = colour.focus;
    pen.lineWidth = wide;
    pen.globalAlpha = 0.7;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, plan.height);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  };
  line(cursor, [], 2);
  if (pointed !== null) line(pointed, [2, 2], 1);
}

function tip(words, event) {
  const place = document.getElementById("tip");
  place.hidden = !words;
  if (!words) return;
  place.textContent = words;
  const { width, height } = place.getBoundingClientRect();
  const x = event.clientX + 16 + width > innerWidth ? event.clientX - width - 12 : event.clientX + 16;
  const y = event.clientY + 16 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 16;
  place.style.left = `${Math.max(x, 4)}px`;
  place.style.top = `${Math.max(y, 4)}px`;
}

// Moves the moment on by itself, until the end or until told to stop.
function player(button, { tick, again }) {
  let before = null;
  const go = (now) => {
    if (before === null) return;
    const more = tick(Math.min((now - before) / 1000, 0.1));
    before = now;
    if (more) requestAnimationFrame(go);
    else toggle();
  };
  const toggle = () => {
    const playing = before === null;
    button.textContent = playing ? "stop" : "play";
    before = playing ? performance.now() : null;
    if (!playing) return;
    again();
    requestAnimationFrame(go);
  };
  button.addEventListener("click", toggle);
  return toggle;
}
