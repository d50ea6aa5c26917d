// The scheduler to play with: docs/scheduler.md has the empty places that are filled here.
// The first four functions are those of stormswarm/timing.py; a test compares the two.
const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);

function makespanBound(seconds, cores) {
  return Math.max(...seconds, sum(seconds) / cores);
}

function schedule(seconds, cores) { // each job goes to the core that is free first
  const busyUntil = Array(cores).fill(0);
  return seconds.map((length) => {
    const core = busyUntil.indexOf(Math.min(...busyUntil));
    const start = busyUntil[core];
    busyUntil[core] += length;
    return { core, start, stop: busyUntil[core] };
  });
}

function makespan(seconds, cores) {
  return Math.max(...schedule(seconds, cores).map((job) => job.stop));
}

function breakEven(job, start, cores, slowdown) {
  if (cores <= slowdown || job <= 0) return null;
  let runs = 2;
  while (runs < 1e6 && start + slowdown * job * Math.ceil(runs / cores) >= job * runs) runs += 1;
  return runs < 1e6 ? runs : null;
}

// As long on average as `mean`; the longest is `ratio` times the shortest; short and long are mixed.
function jobLengths(jobs, mean, ratio) {
  const mixed = Array.from({ length: jobs }, (_, i) => ((i + 1) * 0.618034) % 1);
  const shortest = jobs > 1 ? (2 * mean) / (1 + ratio) : mean;
  const step = jobs > 1 ? (shortest * (ratio - 1)) / (jobs - 1) : 0;
  return mixed.map((one) => shortest + step * mixed.filter((other) => other < one).length);
}

// Name, label, least, most and step of the slider, value at first, whether more may be typed
const CONTROLS = [
  ["cores", "Cores", 1, 16, 1, 4, false],
  ["jobs", "Jobs", 1, 48, 1, 10, false],
  ["length", "A job alone, mean (s)", 0.1, 10, 0.1, 1, true],
  ["ratio", "Longest job ÷ shortest job", 1, 10, 0.5, 4, true],
  ["start", "Start of the workers (s)", 0, 10, 0.1, 1.5, true],
  ["slowdown", "Slow-down side by side (×)", 1, 3, 0.05, 1.1, true],
];
const place = (id) => document.getElementById(id);
const say = (s) => (s >= 100 ? s.toFixed(0) : s >= 10 ? s.toFixed(1) : s.toFixed(2));

function addControls() {
  for (const [name, label, least, most, step, value, open] of CONTROLS) {
    const typed = open ? `min="${least && 0.001}" step="any"` : `min="${least}" max="${most}"`;
    place("order").parentElement.insertAdjacentHTML("beforebegin", `<div>
      <label for="${name}-slider">${label}</label>
      <input type="range" id="${name}-slider" min="${least}" max="${most}" step="${step}" value="${value}">
      <input type="number" id="${name}" aria-label="${label}, typed" ${typed} value="${value}">
    </div>`);
    place(`${name}-slider`).oninput = (event) => { place(name).value = event.target.value; draw(); };
    place(name).oninput = (event) => { place(`${name}-slider`).value = event.target.value; draw(); };
  }
  place("ratio").min = place("slowdown").min = 1;
  place("order").onchange = draw;
}

function svg(height, width, description, parts) {
  return `<svg width="${width}" height="${height}" role="img" aria-label="${description}">${parts.join("")}</svg>`;
}
const box = (look, x, y, width, height, title = "") =>
  `<rect class="${look}" x="${x}" y="${y}" width="${Math.max(width, 0)}" height="${height}"><title>${title}</title></rect>`;
const words = (x, y, text, anchor = "middle") => `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
const line = (look, ...points) => `<polyline class="${look}" points="${points.join(" ")}"/>`;

function ticks(most, whole) { // about five round numbers from 0 to `most`
  const rough = 10 ** Math.floor(Math.log10(most / 4));
  const found = [1, 2, 5, 10].map((n) => n * rough).find((one) => most / one <= 6);
  const step = whole ? Math.max(1, Math.round(found)) : found;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, i) => +(i * step).toPrecision(6));
}

function drawGantt(lengths, now, bound, wall) {
  const width = place("gantt").clientWidth, left = 58, row = now.cores > 8 ? 20 : 28, top = 26;
  const scale = (width - left - 30) / Math.max(bound, wall), bottom = top + row * now.cores;
  const x = (seconds) => left + scale * seconds, slow = now.slowed, parts = [];
  for (const tick of ticks(Math.max(bound, wall))) {
    parts.push(line("grid", [x(tick), top], [x(tick), bottom]), words(x(tick), bottom + 18, tick));
  }
  for (let core = 0; core < now.cores; core += 1) {
    const y = top + row * core;
    parts.push(words(left - 6, y + row / 2 + 5, `core ${core + 1}`, "end"));
    if (core < lengths.length) parts.push(box("start", x(0), y + 2, scale * now.start, row - 4, "start"));
  }
  schedule(lengths.map((length) => length * slow), now.cores).forEach(({ core, start }, i) => {
    const begin = x(now.start + start), long = scale * lengths[i], y = top + row * core;
    parts.push(box("alone", begin, y + 2, long - 1, row - 4, `${say(lengths[i])} s alone`));
    parts.push(box("slower", begin + long - 1, y + 2, long * (slow - 1), row - 4, "slower side by side"));
    if (long > 26) parts.push(`<g class="inside">${words(begin + long / 2, y + row / 2 + 5, `${say(lengths[i])}`)}</g>`);
  });
  parts.push(line("bound", [x(bound), top - 6], [x(bound), bottom + 4]), words(Math.min(x(bound), width - 55), top - 11, `bound ${say(bound)} s`));
  parts.push(words(left + (width - left) / 2, bottom + 38, "seconds"));
  place("gantt").innerHTML = svg(bottom + 46, width, `Timeline of ${lengths.length} jobs on ${now.cores} cores, with the bound.`, parts);
}

function drawBreakEven(now, runs) {
  const width = place("break-even-chart").clientWidth, left = 58, top = 26, bottom = 250;
  const most = Math.max(8, 2 * now.cores, runs ? Math.min(2 * runs, 10000) : 0);
  const serial = (n) => n * now.length, swarm = (n) => now.start + (n > 1 && now.cores > 1 ? now.slowdown : 1) * now.length * Math.ceil(n / now.cores);
  const tallest = Math.max(serial(most), swarm(most)), parts = [];
  const x = (n) => left + ((width - left - 30) * n) / most, y = (s) => bottom - ((bottom - top) * s) / tallest;
  for (const tick of ticks(tallest)) {
    parts.push(line("grid", [left, y(tick)], [x(most), y(tick)]), words(left - 6, y(tick) + 5, tick, "end"));
  }
  for (const tick of ticks(most, true)) parts.push(words(x(tick), bottom + 18, tick));
  const dots = Math.max(1, Math.ceil(most / 300)), numbers = [];
  for (let n = 1; n <= most; n += dots) numbers.push(n);
  parts.push(line("serial", ...numbers.map((n) => [x(n), y(serial(n))])));
  parts.push(line("swarm", ...numbers.flatMap((n) => [[x(n - dots), y(swarm(n))], [x(n), y(swarm(n))]])));
  if (runs && runs <= most) {
    parts.push(line("bound", [x(runs), top - 6], [x(runs), bottom]), words(Math.min(x(runs), width - 60), top - 11, `from ${runs} runs on`));
  }
  parts.push(words(left + (width - left) / 2, bottom + 38, "number of runs"), words(4, 14, "seconds", "start"));
  place("break-even-chart").innerHTML = svg(bottom + 46, width, "Wall time over the number of runs, one after the other and in parallel.", parts);
}

function draw() {
  const now = {};
  for (const [name] of CONTROLS) {
    if (place(name).value === "" || !place(name).checkValidity()) return; // not typed to the end
    now[name] = Number(place(name).value);
  }
  const lengths = jobLengths(now.jobs, now.length, now.ratio), total = sum(lengths);
  if (place("order").value === "longest") lengths.sort((a, b) => b - a);
  const slowdown = (jobs) => (Math.min(now.cores, jobs) > 1 ? now.slowdown : 1); // alone, none
  now.slowed = slowdown(now.jobs);
  const bound = makespanBound(lengths, now.cores);
  const wall = now.start + makespan(lengths.map((length) => length * now.slowed), now.cores);
  const why = Math.max(...lengths) >= total / now.cores ? "the longest job" : "an even share of all jobs";
  place("numbers").textContent = `Makespan, with the start: ${say(wall)} s. Bound: ${say(bound)} s, ${why}. `
    + `Speed-up: ${(total / wall).toFixed(2)}×, at the bound ${(total / bound).toFixed(2)}×. `
    + `Efficiency: ${((100 * total) / wall / now.cores).toFixed(0)} %.`;
  const runs = breakEven(now.length, now.start, now.cores, slowdown(2));
  place("verdict").textContent = runs ? `From about ${runs} runs of ${say(now.length)} s on, ${now.cores} processes pay.`
    : "With these numbers, even a million runs are not done sooner in parallel.";
  drawGantt(lengths, now, bound, wall);
  drawBreakEven(now, runs);
}

addControls();
draw();
window.addEventListener("resize", draw);
