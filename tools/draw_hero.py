"""Draw the first picture of README and site: seconds for the same six runs, run in four ways.

Usage: python tools/draw_hero.py   (writes docs/hero.svg from the newest record)

The picture has a ground of its own and colours for light and dark, so that it can be read on both.
"""

import statistics
from html import escape
from pathlib import Path

from draw_timings import read_records, short

ROOT = Path(__file__).resolve().parent.parent
STYLE = """
  svg { color-scheme: light dark; font-family: system-ui, sans-serif }
  .ground { fill: #ffffff } text { fill: #1a1a1a } .bar { fill: #767676 } .helper { fill: #0072b2 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #131416 } text { fill: #e6e6e6 }
    .bar { fill: #8c8c8c } .helper { fill: #56b4e9 }
  }"""


def bars_of(record):
    """Return label, class and repetitions in seconds of each way, from top to bottom."""
    plain, helper = record["seconds"]["plain loop"], record["seconds"]["helper"]
    return [
        ("plain loop, one after the other", "bar", plain["6 serial"]),
        ("plain loop, six processes", "bar", plain["6 on 6"]),
        ("helper, one after the other", "helper", helper["6 serial"]),
        ("helper, swarm of six processes", "helper", helper["6 on 6"]),
    ]


def draw_hero(record):
    """Return the picture of one record as SVG."""
    bars, machine = bars_of(record), record["machine"]
    scale = 430 / max(statistics.median(seconds) for *_, seconds in bars)
    rows = []
    for place, (label, kind, seconds) in enumerate(bars):
        top, middle = 62 + 44 * place, statistics.median(seconds)
        width = middle * scale
        rows.append(
            f'<text x="250" y="{top + 20}" text-anchor="end">{label}</text>'
            f'<rect class="{kind}" x="262" y="{top}" width="{width:.1f}" height="30" rx="3"/>'
            f'<text x="{272 + width:.1f}" y="{top + 20}" font-weight="bold">{middle:.1f} s</text>'
        )
    about = (
        f"{short(machine['processor'])}, {machine['usable cores']} cores, {record['date']}, "
        f"medians of {len(bars[0][2])} repetitions"
    )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 272" width="780"'
            ' height="272" font-size="16">',
            "<title>Seconds for the same six runs of gamma, run in four ways</title>",
            f"<style>{STYLE}\n</style>",
            '<rect class="ground" width="780" height="272" rx="8"/>',
            '<text x="20" y="38" font-size="20" font-weight="bold">'
            "The same six runs, the same scores, in seconds</text>",
            *rows,
            f'<text x="20" y="256" font-size="13">{escape(about)}</text>',
            "</svg>\n",
        ]
    )


def describe(record):
    """Return the picture in words, for those who do not see it."""
    told = "; ".join(
        f"{label} {statistics.median(seconds):.1f} s" for label, _, seconds in bars_of(record)
    )
    return f"Bar chart of the seconds that the same six runs of gamma take: {told}."


def main():
    """Draw the newest record, and print the words that README and front page need."""
    record = read_records(ROOT / "docs" / "records")[-1]
    (ROOT / "docs" / "hero.svg").write_text(draw_hero(record), encoding="utf-8")
    print(f"![{describe(record)}](docs/hero.svg)")


if __name__ == "__main__":
    main()
