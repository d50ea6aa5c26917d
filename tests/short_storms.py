"""Network edits that cut storms short, and sweeps of short runs; imported by worker processes."""

import re

from stormswarm_utils import ConstantOpening


def end_at(network, date, time):
    network = re.sub(r"(?m)^END_DATE\s.*$", f"END_DATE {date}", network)
    return re.sub(r"(?m)^END_TIME\s.*$", f"END_TIME {time}", network)


def first_hour(network):
    """Cut a storm short: a network edit that ends the simulation an hour after its start."""
    date = re.search(r"(?m)^START_DATE\s+(\S+)", network).group(1)
    hour, rest = re.search(r"(?m)^START_TIME\s+(\d+)(\S+)", network).groups()
    return end_at(network, date, f"{int(hour) + 1:02}{rest}")


def one_day(network):
    """Cut theta after a day: a run of some fifty milliseconds."""
    return end_at(network, "02/26/2018", "00:00:00")


def sweep(jobs=200, network=one_day):
    """Return configs of theta, a bit more open from job to job."""
    return [
        {"scenario": "theta", "network": network, "controller": ConstantOpening((job + 1) / jobs)}
        for job in range(jobs)
    ]
