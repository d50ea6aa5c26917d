"""How do I draw a storm that moves?"""

import itertools
import json
import numbers
from dataclasses import dataclass, field
from html import escape

import numpy as np

from stormswarm.network_map import SHARES, NetworkMap
from stormswarm.pictures import COLORS, check_runs
from stormswarm.run import Run

FRAMES = 160
# Colours and widths of pipes, from little flow to much: grey, two blues, orange and red
PIPES = ((COLORS[7], 2), (COLORS[0], 3), (COLORS[6], 5), (COLORS[1], 7), (COLORS[5], 9))
# What the page has behind the picture: in JupyterLab, on the site, or elsewhere
GROUND = "var(--jp-layout-color0,var(--color-background-primary,Canvas))"
STYLE = (
    ".storm{max-width:56rem;font-size:.9rem}.storm p{margin:.3em 0}"
    ".storm .maps{display:flex;flex-wrap:wrap;gap:0 1rem}"
    ".storm figure{flex:1 1 17rem;min-width:0;max-width:30rem;margin:0}"
    ".storm .now{display:flex;flex-wrap:wrap;gap:.3em .8em;align-items:center}"
    ".storm .key span{display:inline-block;margin-right:.9em}.storm .key{font-size:.9em}"
    ".storm svg{width:100%;height:auto;display:block}.storm .key svg{width:2em;display:inline}"
    f".storm text{{font:13px system-ui,sans-serif;fill:currentColor;stroke:{GROUND};"
    "stroke-width:4px;paint-order:stroke}"
    ".storm input{flex:1 1 9rem;min-width:0}.storm output{font-variant-numeric:tabular-nums}"
    ".storm button{font:inherit;color:inherit;background:none;border:1px solid;"
    "border-radius:.3em;padding:.3em 1em;min-width:6em;cursor:pointer}"
    ".storm figcaption b{margin-right:.8em}"
    f".storm .ground{{fill:{GROUND}}}"
    f".storm .water{{fill:{COLORS[0]}}}.storm .gate{{fill:{COLORS[1]}}}"
    ".storm .tank,.storm .slot{fill:none;stroke:currentColor;stroke-width:1.5}"
    f".storm .tank.floods{{stroke:{COLORS[5]};stroke-width:5}}"
    ".storm line{stroke-linecap:round}"
    + "".join(
        f".storm .q{number}{{stroke:{color};stroke-width:{width}}}"
        for number, (color, width) in enumerate(PIPES)
    )
    + "@media(prefers-reduced-motion:reduce){.storm button{display:none}}"
)
SCRIPT = """{
const box = document.currentScript.parentElement, frames = FRAMES, hours = HOURS;
const [button, slider, clock] = ["button", "input", "output"].map(one => box.querySelector(one));
const parts = [...box.querySelectorAll("[data-part]")];
let timer = null;
const stop = () => { clearInterval(timer); timer = null; button.textContent = "▶ Play"; };
const show = number => {
  slider.value = number;
  clock.textContent = hours[number];
  slider.setAttribute("aria-valuetext", hours[number]);
  frames[number].forEach((value, i) => {
    const name = parts[i].dataset.part;
    if (name === "text") parts[i].textContent = value; else parts[i].setAttribute(name, value);
  });
};
slider.addEventListener("input", () => {
  stop();
  box.dataset.started = true;
  show(+slider.value);
});
button.addEventListener("click", () => {
  if (timer) return stop();
  if (!box.dataset.started || +slider.value === frames.length - 1) show(0);
  box.dataset.started = true;
  button.textContent = "❚❚ Pause";
  timer = setInterval(() => {
    if (!box.isConnected || +slider.value === frames.length - 1) return stop();
    show(+slider.value + 1);
  }, 100);
});
slider.disabled = button.disabled = false;
}"""


@dataclass(frozen=True)
class MovingPicture:
    """A picture that plays in a notebook or on a page, without the internet.

    Attributes
    ----------
    description : str
        What the picture shows, for readers who cannot see it.
    html : str
        A part of a web page, with a still picture and what is needed to animate it.
    """

    description: str
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def animate_storm(
    runs: dict[str, Run],
    scenario: str,
    title: str,
    limit: float,
    hours: tuple[float, float] | None = None,
) -> MovingPicture:
    """Draw the network of a scenario once for each run, with the water moving through it.

    Basins fill, valves open, and pipes take the colour of their flow. A pipe whose flow is not
    among the hydrographs is drawn with the sum of those above it.

    Parameters
    ----------
    runs : dict
        Label -> `Run`, as `simulate` returns it. All are runs of this scenario.
    scenario : str
        A name in `SCENARIOS`.
    title : str
        What there is to see.
    limit : float
        Flow, in the network's units, above which a pipe is drawn in orange.
    hours : pair of float, optional
        The part that is shown, in hours since the simulation began. Default: all of it.

    Returns
    -------
    MovingPicture
        It starts on request. Before that it shows the moment of the largest flow.

    Raises
    ------
    TypeError
        `runs` is not a dict of runs, or another argument is of the wrong type.
    ValueError
        There is no run or scenario of this name, `limit` is not above 0, a run holds no depth of a
        basin, or `hours` is no part of the runs.
    """
    check_runs(runs)
    if not isinstance(title, str):
        raise TypeError(f"title must be a text, got {title!r:.80}")
    if isinstance(limit, bool) or not isinstance(limit, numbers.Real) or not limit > 0:
        error = ValueError if isinstance(limit, numbers.Real) else TypeError
        raise error(f"limit must be a flow above 0, got {limit!r:.80}")
    network = NetworkMap(scenario)
    times = [_hours_of(run) for run in runs.values()]
    end = max(one[-1] for one in times)
    first, last = hours or (0, end)
    if not 0 <= first < min(last, end):
        raise ValueError(f"hours must be a part of the {end:.0f} h of the runs, got {hours}")
    moments = np.linspace(first, last, FRAMES)
    maps = [
        network.find_values(run, np.searchsorted(time, moments, side="right").clip(1) - 1)
        for run, time in zip(runs.values(), times, strict=True)
    ]
    still = int(np.argmax(sum(one["flow"] for one in maps).sum(axis=1)))
    clocks = [f"{int(moment)} h {int(moment % 1 * 60):02d} min" for moment in moments]
    values = [
        [value for one in maps for value in network.frame(one, k, limit)] for k in range(FRAMES)
    ]
    told = [
        _describe(label, one, network, limit, still, clocks[still])
        for label, one in zip(runs, maps, strict=True)
    ]
    drawn = iter(values[still])
    figures = "".join(
        f"<figure><figcaption><b>{escape(label)}</b>"
        f'<span data-part="text">{next(drawn)}</span></figcaption>'
        f"{network.draw(drawn, words)}</figure>"
        for label, words in zip(runs, told, strict=True)
    )
    script = SCRIPT.replace("FRAMES", json.dumps(values, separators=(",", ":")))
    script = script.replace("HOURS", json.dumps(clocks, separators=(",", ":")))
    html = (
        f'<div class="storm"><style>{STYLE}</style><p><b>{escape(title)}</b></p>'
        f'<div class="maps">{figures}</div>'
        '<div class="now"><button type="button" disabled aria-label="Play or pause the storm">'
        f'▶ Play</button><input type="range" disabled min="0" max="{FRAMES - 1}" value="{still}"'
        f' aria-label="Time since the simulation began"><output>{clocks[still]}</output></div>'
        f"{_draw_key(limit, network.unit)}<script>{script}</script></div>"
    )
    return MovingPicture(" ".join(told), html)


def _hours_of(run):
    time = run.hydrographs["time"]
    return (time - time[0]) / np.timedelta64(1, "h")


def _describe(label, values, network, limit, still, moment):
    above = np.count_nonzero(np.abs(values["flow"][still]) > limit)
    flooded = [name for name, any_ in network.pair(values["floods"].any(axis=0)) if any_]
    return (
        f"Map of {network.scenario}, {label}: at the moment of the still picture, {moment}, "
        f"{above} of {len(network.links)} pipes and valves carry more than {limit:g} "
        f"{network.unit}; basins that flood in the hours shown: {', '.join(flooded) or 'none'}."
    )


def _draw_key(limit, unit):
    edges = [f"{limit * share:g}" for share in SHARES]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    lines = "".join(
        f'<span><svg viewBox="0 0 32 12" aria-hidden="true"><line class="q{number}" x1="5" y1="6"'
        f' x2="27" y2="6"/></svg> {text}</span>'
        for number, text in enumerate([f"below {edges[0]}", *between, f"above {edges[-1]}"])
    )
    return (
        f'<p class="key">Flow, {unit}: {lines}</p><p class="key">Square: a basin and its water, '
        "with a thick red frame while it floods. Bar beside it: how far its valve is open. "
        "Triangle: outfall.</p>"
    )
