"""Draw the storm that moves on the site's front page: gamma under two controllers.

Usage: python tools/draw_storm.py   (writes docs/storm.html; takes the time of two runs)

It is the picture of notebook 01, made anew, so that front page and notebook show the same.
"""

from pathlib import Path

from stormswarm_utils import ConstantOpening, EqualFilling, animate_storm, simulate

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    runs = {
        "all valves open": simulate({"scenario": "gamma", "controller": ConstantOpening(1.0)}),
        "equally full basins": simulate({"scenario": "gamma", "controller": EqualFilling(0.1)}),
    }
    title = "The same rain on the same town: sent on at once, or held back in the basins"
    picture = animate_storm(runs, "gamma", title, limit=4, hours=(0, 24))
    (ROOT / "docs" / "storm.html").write_text(picture.html + "\n", encoding="utf-8")
    print(picture.description)
