"""Time 500 variants of networks that other people have made, in a swarm and in bare processes.

Usage: python -m benchmarks.networks [variants]

The networks come with pyswmm's own tests: one is routed by kinematic wave, the other one by dynamic
wave with a pump, and both carry pollutants. A variant has conduits of another roughness.
All results are compared with those of a serial loop, to the last digit.
"""

import re
import sys
import time
from datetime import timedelta
from pathlib import Path

import pyswmm

from benchmarks.common import PROCESSORS, in_a_fresh_process, in_words, spread, table

ROUNDS = 3
HOURS = {"model_pollutants": 96, "model_storage_pump": 6}  # of each network's storm


def run_variant(variant):
    """Return what a network discharges and how far its balances are off, for one roughness."""
    from stormswarm_utils import private_engine

    network, factor = variant
    hours = timedelta(hours=HOURS[network])
    path = Path(pyswmm.__file__).parent / "tests" / "data" / f"{network}.inp"
    with private_engine(lambda text: change(text, factor)), pyswmm.Simulation(str(path)) as run:
        run.step_advance(3600)
        for _ in run:
            if run.current_time - run.start_time >= hours:
                break
        stats = pyswmm.SystemStats(run).routing_stats
        return [stats["outflow"], run.flow_routing_error, run.quality_error]


def change(text, factor):
    """Multiply the roughness of all conduits by a factor."""
    head, conduits, rest = re.split(r"(?s)(?<=\[CONDUITS\])(.*?)(?=\n\[)", text, maxsplit=1)
    row = r"(?m)^([^;\s]\S*\s+\S+\s+\S+\s+\S+\s+)(\S+)"
    conduits = re.sub(row, lambda found: f"{found[1]}{float(found[2]) * factor:.8g}", conduits)
    return head + conduits + rest


def time_side(side, network, variants):
    """Run the variants twice on two processes, and return the seconds of the second time."""
    from benchmarks import peers

    configs = [(network, 0.5 + 1.5 * number / variants) for number in range(variants)]
    if side == "serial loop":
        return {"results": [run_variant(config) for config in configs]}
    with peers.SIDES[side][0]() as run:
        run(run_variant, configs)
        clock = time.perf_counter()
        results = run(run_variant, configs)
        return {"seconds": time.perf_counter() - clock, "results": list(results)}


def main(variants=500):
    """Print the seconds of swarm and bare processes, in turns, and compare all results."""
    rows = []
    for network in HOURS:
        expected = in_a_fresh_process(time_side, "serial loop", network, variants)["results"]
        assert len({*map(tuple, expected)}) > variants / 2, "the variants hardly differ"
        took = {"helper": [], "bare processes": []}
        for _ in range(ROUNDS):
            for side, seconds in took.items():
                figure = in_a_fresh_process(time_side, side, network, variants)
                assert figure["results"] == expected, f"{side}: other results than the serial loop"
                seconds.append(figure["seconds"])
        swarm, bare = took.values()
        ratios = [one / other for one, other in zip(swarm, bare, strict=True)]
        rows.append((network, *(in_words(spread(values)) for values in (swarm, bare, ratios))))
    print(f"{variants} variants on {PROCESSORS} processes; all results equal the serial loop's.\n")
    print("\n".join(table(("network", "swarm (s)", "bare processes (s)", "ratio"), *rows)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
