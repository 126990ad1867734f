// Which stretch of time is seen, and where a moment lies in it. Knows nothing of what is drawn.

const NARROWEST = 40;

function scale(end, changed) {
  const margin = end * 0.015;
  const least = -margin;
  const most = end + margin;
  const window = { from: least, to: most, width: 1 };
  const set = (from, to) => {
    const across = Math.min(Math.max(to - from, NARROWEST), most - least);
    const start = Math.min(Math.max(from, least), most - across);
    window.from = start;
    window.to = start + across;
    changed();
  };
  return {
    window,
    across: () => window.to - window.from,
    x: (at) => ((Math.min(at, end + 2 * margin) - window.from) / (window.to - window.from)) * window.width,
    at: (x) => window.from + (x / window.width) * (window.to - window.from),
    clamp: (at) => Math.min(Math.max(at, 0), end),
    set,
    whole: () => set(least, most),
    zoom: (factor, around) => {
      const middle = around ?? (window.from + window.to) / 2;
      set(middle - (middle - window.from) * factor, middle + (window.to - middle) * factor);
    },
    move: (by) => set(window.from + by, window.to + by),
    // Brings a moment into sight; `across` says how much around it is seen, if it must change.
    show: (at, across) => {
      const wide = across ?? window.to - window.from;
      const inside = at > window.from + wide * 0.1 && at < window.to - wide * 0.1;
      if (across !== undefined || !inside) set(at - wide / 2, at + wide / 2);
    },
  };
}

// Round steps for the ruler: about one for every `apart` pixels.
function ticks(time, apart) {
  const rough = (time.across() / time.window.width) * apart;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10);
  const found = [];
  for (let at = Math.ceil(Math.max(time.window.from, 0) / step) * step; at <= time.window.to; at += step) found.push(at);
  return { step, found };
}
