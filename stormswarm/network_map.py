"""Where is each basin on the map, and what moves there?"""

from html import escape

import numpy as np

from stormswarm.pictures import read_links, read_network, read_section

# Size of the map, of a basin, and how far apart two basins must be
WIDTH, HEIGHT, TANK, GAP = 400, 400, 24, 46
SHARES = (0.1, 0.5, 1, 2)  # of the limit, where the next class of flow begins


class NetworkMap:
    """Places of a scenario's basins and links on the map, and what is known of each."""

    def __init__(self, scenario):
        self.scenario = scenario
        text = read_network(scenario)
        self.links = read_links(text)
        self.basins = {line[0]: float(line[2]) for line in read_section(text, "STORAGE")}
        self.basins = dict(sorted(self.basins.items(), key=lambda item: (len(item[0]), item)))
        self.outfalls = [line[0] for line in read_section(text, "OUTFALLS")]
        self.valves = [line[:3] for line in read_section(text, "ORIFICES")]
        self.unit = dict(read_section(text, "OPTIONS"))["FLOW_UNITS"].lower()
        self.unit = {"cfs": "ft³/s", "cms": "m³/s"}.get(self.unit, self.unit)
        lines = read_section(text, "COORDINATES")
        places = np.array([line[1:3] for line in lines], dtype=float)
        low, span = places.min(axis=0), np.ptp(places, axis=0)
        places = (places - low) / span * (WIDTH - 70, 70 - HEIGHT) + (25, HEIGHT - 25)
        names = [name for name, *_ in lines]
        _spread(places, [number for number, name in enumerate(names) if name in self.basins])
        self.places = dict(zip(names, places.round(1).tolist(), strict=True))

    def pair(self, values):
        """Return each basin with its value."""
        return zip(self.basins, values, strict=True)

    def find_values(self, run, rows):
        """Return what is drawn of a run: a table for each kind, with a row for each moment."""
        series = {**run.hydrographs["states"], **run.hydrographs["targets"]}
        missing = [basin for basin in self.basins if f"depthN {basin}" not in series]
        if missing:
            raise ValueError(f"the hydrographs hold no depth of the basins {', '.join(missing)}")
        flows, none = {}, np.zeros(len(run.hydrographs["time"]))

        def flow_of(link):
            name, start, _ = link
            if name not in flows:
                flows[name] = none  # a loop of pipes ends here
                above = (flow_of(other) for other in self.links if other[2] == start)
                known = series.get(f"flow {name}")
                flows[name] = sum(above, none) if known is None else known
            return flows[name]

        def table(columns):
            return np.transpose(columns)[rows]

        actions = run.hydrographs["actions"]
        floods = table([np.cumsum(series.get(f"flooding {one}", none) > 0) for one in self.basins])
        return {
            "flow": table([flow_of(link) for link in self.links]),
            "share": table([series[f"depthN {one}"] / full for one, full in self.basins.items()]),
            "floods": np.diff(floods, axis=0, prepend=floods[:1]) > 0,  # since the frame before
            "opening": table([actions.get(name, none) for name, *_ in self.valves]),
        }

    def frame(self, values, k, limit):
        """Return the values of all moving parts of one map, in the order in which it draws them."""
        edges = [limit * share for share in SHARES]
        flooded = [name for name, floods in self.pair(values["floods"][k]) if floods]
        heights = [
            (TANK * np.nan_to_num(values[kind][k]).clip(0, 1)).round().astype(int).tolist()
            for kind in ("share", "opening")
        ]
        return [
            f"floods: {', '.join(flooded)}" if flooded else "no basin floods",
            *(f"q{np.searchsorted(edges, abs(flow), side='right')}" for flow in values["flow"][k]),
            *heights[0],
            *("tank floods" if floods else "tank" for floods in values["floods"][k]),
            *heights[1],
        ]

    def draw(self, values, words):
        """Return the map of one run as SVG, its moving parts with the next of these values."""

        def box(kind, corner, width=TANK, height=TANK, part=""):
            where = f'transform="translate({corner[0]:.1f} {corner[1]:.1f}) scale(1 -1)"'
            return f'<rect class="{kind}"{part} {where} width="{width}" height="{height}"/>'

        grows, changes = ' data-part="height"', ' data-part="class"'
        half = TANK / 2
        at = {name: (x - half, y + half) for name, (x, y) in self.places.items()}
        beside = [(at[basin][0] + TANK + 3, at[basin][1]) for _, basin, _ in self.valves]
        parts = [
            f'<line class="{next(values)}"{changes} x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
            for (x1, y1), (x2, y2) in (map(self.places.get, link[1:]) for link in self.links)
        ]
        parts += [box("ground", at[name]) for name in self.basins]
        parts += [box("water", at[name], TANK, next(values), grows) for name in self.basins]
        parts += [box(next(values), at[name], part=changes) for name in self.basins]
        parts += [box("ground", corner, 6) for corner in beside]
        parts += [box("gate", corner, 6, next(values), grows) for corner in beside]
        parts += [box("slot", corner, 6) for corner in beside]
        for name in self.basins:
            x, y = self.places[name]
            parts.append(f'<text x="{x}" y="{y - half - 5}" text-anchor="middle">{name}</text>')
        for name in self.outfalls:
            x, y = self.places[name]
            parts.append(f'<path d="M{x - 9} {y - 6}h18l-9 15z" fill="currentColor"/>')
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}">'
            f"{''.join(parts)}</svg>"
        )


def _spread(places, crowded):
    """Move the basins of the map apart until each has room to be drawn."""
    for _ in range(200):
        for one in crowded:
            for other in crowded:
                away = places[one] - places[other]
                short = GAP - np.hypot(*away)
                if one != other and short > 0:
                    places[one] += away / max(np.hypot(*away), 1) * short / 2
