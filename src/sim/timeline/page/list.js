// What happened, as a list to jump from. Only the lines in sight are elements, so that a long run costs no more than a short one.

const LINE = 22;
const SPARE = 6;
const SORTS = ["violations", "expectations", "script", "views", "processes", "cuts", "marks"];
const NUMEROUS = 150;

function listHappenings(run, { list, rows, sorts }, choose) {
  const all = happenings(run);
  const counts = new Map(SORTS.map((sort) => [sort, all.filter((each) => each.sort === sort).length]));
  // Branches that are reached all the time would bury the rest.
  const shown = new Set(SORTS.filter((sort) => sort !== "marks" || counts.get(sort) <= NUMEROUS));
  let lines = [];
  let here = -1;
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / LINE) - SPARE);
    const until = Math.min(lines.length, first + Math.ceil(list.clientHeight / LINE) + 2 * SPARE);
    const made = [];
    for (let i = first; i < until; i++) made.push(line(lines[i], i));
    rows.style.height = `${lines.length * LINE}px`;
    rows.replaceChildren(...made);
  };
  const line = (each, i) => {
    const made = element("button", undefined, `event${i === here ? " here" : ""}${each.sort === "violations" || each.broken ? " broken" : ""}`);
    made.type = "button";
    made.style.top = `${i * LINE}px`;
    made.dataset.sort = each.sort;
    made.title = each.words;
    made.append(element("time", moment(each.at)), element("span", each.sign, "sign"), element("span", each.words, "said"));
    made.addEventListener("click", () => choose(each));
    return made;
  };
  const sift = () => {
    lines = all.filter((each) => shown.has(each.sort));
    here = -1;
    draw();
  };
  for (const sort of SORTS) {
    if (!counts.get(sort)) continue;
    const box = element("input");
    box.type = "checkbox";
    box.checked = shown.has(sort);
    box.addEventListener("change", () => {
      if (box.checked) shown.add(sort);
      else shown.delete(sort);
      sift();
    });
    const made = element("label");
    made.append(box, ` ${sort} ${counts.get(sort).toLocaleString("en")}`);
    sorts.append(made);
  }
  list.addEventListener("scroll", draw);
  sift();
  return {
    draw,
    // Shows which line is the last one at or before a moment.
    mark: (at) => {
      const now = after(lines, at, (each) => each.at) - 1;
      if (now === here) return;
      here = now;
      const top = here * LINE;
      if (here >= 0 && (top < list.scrollTop || top > list.scrollTop + list.clientHeight - 2 * LINE)) list.scrollTop = top - list.clientHeight / 2;
      draw();
    },
    // The nearest line before or after a moment.
    step: (at, forth) => (forth ? lines[after(lines, at, (each) => each.at)] : lines[after(lines, at - 1e-6, (each) => each.at) - 1]),
  };
}
