"""Which stored numbers of a notebook contradict its text, or each other?"""

import re
from collections.abc import Iterator
from itertools import pairwise

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
A_LITTLE = 1.05  # by so much may a measured time lie beyond a bound that is made of medians
V = r"(\d+\.\d+)"  # a printed value
N = r"(\S+(?: \S+)*)"  # the name of a row; more than one space ends it
TIMEIT = re.compile(r"(?m)^(.+) ± (.+) per loop \(mean ± std\. dev\.")
ROW = re.compile(rf"(?m)^{N} +{V} s +{V} s to {V} s$")  # of what `measure` has found
FASTER = re.compile(rf"(?m)^(.+) is {V}x as fast as (.+)$")
NO_DIFFERENCE = re.compile(r"(?m)^(.+) and (.+): no difference .* in (\d+) rounds$")
LIMIT = re.compile(rf"(?:two programs|bare processes[^:\n]*): {V}(?:x| times) as fast as one")
PAIR = re.compile(rf"(?m)^{N} +{V} s +{V} s +{V}x +{V}x +{V}$")
RATIOS = re.compile(rf"(?m)^{N} +{V} s +{V}x$")  # rows of a table of seconds and ratios
STEP = re.compile(rf"(?m)^{N} +{V} s +{V}x \({V}x to {V}x\)$")
AS_LONG = re.compile(rf"(?m)^{N} +{V} s +{V} s +{V}x \({V}x to {V}x\)$")
EFFICIENCY = re.compile(r"(?m)^(\d+) +(\d+) % +(\d+) %$")  # processes, and two job sets
EVEN_SHARE = re.compile(rf"An even share of the work is {V} s; the swarm took {V} s")
REMOTE = re.compile(rf"local pool +{V} ms.*\ndask +{V} ms.*\nratio: {V}x")


def contradictions(notebook) -> list[str]:
    """List what is wrong with the stored numbers: the cell, the numbers and the rule."""
    known, found = {"limit": float("inf"), "rows": {}}, []
    for number, cell in enumerate(notebook.cells):
        text = "".join(map(read_text, cell.get("outputs", [])))
        found += [f"cell {number} ({cell.id}): {said}" for said in check(text, known)]
    return found


def read_text(output) -> str:
    """Return what an output has printed, or the text form of the table that it shows."""
    if "<table" in output.get("data", {}).get("text/html", ""):
        return output.data["text/plain"] + "\n"
    return output.get("text", "")


def check(text: str, known: dict) -> Iterator[str]:
    """Yield what is wrong with the text of one output; `known` is what the cells above printed."""
    known["rows"] |= {label: row for label, *row in ROW.findall(text)}
    for limit in LIMIT.findall(text):
        known["limit"] = float(limit)
    if "run it again" in text.lower():  # as `explain_seconds` does after a change of speed
        yield "it asks its reader to run it again"
    for mean, deviation in unsteady_timings(text):
        yield f"{mean} ± {deviation}: the deviation is more than a tenth of the mean"
    yield from _comparisons(text, known["rows"], known["limit"])
    yield from _speed_ups(text, known["limit"])
    yield from _orders(text, known["rows"])
    for _, one, four, ratio, low, high in AS_LONG.findall(text):
        if not _reach(_quotient(four, one), (float(low), float(high))):
            yield f"{four} / {one} is not in {low} to {high}, the range around {ratio}"
    for share, took in EVEN_SHARE.findall(text):
        if float(share) > A_LITTLE * float(took):
            yield f"a swarm took {took} s, less than an even share of its work, {share} s"
    for local, remote, ratio in REMOTE.findall(text):
        yield from _divided(remote, local, ratio)


def unsteady_timings(text: str) -> list[tuple[str, str]]:
    """Return mean and deviation of each `%%timeit` that pyperf would call unstable."""
    timed = TIMEIT.findall(text)
    return [(mean, some) for mean, some in timed if _seconds(some) > 0.1 * _seconds(mean)]


def _comparisons(text, rows, limit):
    for fast, ratio, slow in FASTER.findall(text):
        if fast in rows and slow in rows:
            yield from _divided(rows[slow][0], rows[fast][0], ratio)
        if slow == "one after the other" and float(ratio) > A_LITTLE * limit:
            yield f"{fast}: {ratio}x is above the limit {limit}x"
    for first, second, rounds in NO_DIFFERENCE.findall(text):
        if int(rounds) < 5 and first in rows and second in rows:
            (_, low, high), (_, other_low, other_high) = rows[first], rows[second]
            if float(low) > float(other_high) or float(other_low) > float(high):
                yield f"{first}, {second}: quartiles lie apart, {rounds} rounds show no difference"


def _speed_ups(text, limit):
    for name, serial, parallel, speed_up, ideal, _ in PAIR.findall(text):
        yield from _divided(serial, parallel, speed_up)
        if float(speed_up) > A_LITTLE * min(float(ideal), limit):
            yield f"{name}: {speed_up}x is above the ideal {ideal}x or the limit {limit}x"
    for what, rows in _tables(text, "speed-up over the first row"):
        for _, value, ratio in rows:
            yield from _divided(rows[0][1], value, ratio)
            if what.startswith("two dozen runs") and float(ratio) > A_LITTLE * limit:
                yield f"{ratio}x as fast on all cores is above the limit {limit}x"
    for processes, *efficiencies in EFFICIENCY.findall(text):
        for efficiency in efficiencies:
            if int(processes) * int(efficiency) / 100 > A_LITTLE * max(limit, 1):
                yield f"{efficiency} % of {processes} processes is above the limit {limit}x"
    for _, rows in _tables(text, "work done per time compared with one process"):
        for processes, _, ratio in rows:
            if float(ratio) > A_LITTLE * int(processes):
                yield f"{processes} processes did {ratio} times the work of one"


def _orders(text, rows):
    for _, rows in _tables(text, "compared with the bound"):
        for name, value, ratio in rows:
            yield from _divided(value, rows[0][1], ratio, name)
        medians = {name: float(value) for name, value, _ in rows}
        if medians.get("longest first", 0) > medians.get("order of the list", 0):
            yield f"longest first takes longer than the order of the list: {medians}"
    if ROW.search(text) and {"longest first", "order of the list"} <= rows.keys():
        low, high = rows["longest first"][1], rows["order of the list"][2]
        if float(low) > float(high):
            yield f"longest first is slower than the order of the list: {low} s against {high} s"
    steps = re.findall(rf"(?m)^{N} +{V} s(?: +{V}x \({V}x to {V}x\))?$", text)
    if STEP.search(text):
        for (_, before, *_), (name, value, ratio, low, high) in pairwise(steps):
            if float(high) < 1:
                yield f"{name}: slower than the step before, {ratio}x ({low}x to {high}x)"
            if not _reach(_quotient(before, value), (float(low), float(high))):
                yield f"{name}: {before} / {value} is not in {low} to {high}"


def _tables(text, last):
    """Yield the first heading and the rows of each table of ratios with this last heading."""
    for what, rows in re.findall(rf"(?m)^(.*?) {{2,}}.*{last}\n((?:.*x(?:\n|$))+)", text):
        yield what, RATIOS.findall(rows)


def _divided(top, bottom, ratio, what="the columns"):
    if not _reach(_quotient(top, bottom), _rounded(ratio)):
        yield f"{what}: {top} / {bottom} is not {ratio}"


def _quotient(top, bottom):
    (low, high), (least, most) = _rounded(top), _rounded(bottom)
    return low / most, high / max(least, 1e-9)


def _rounded(printed):
    """Return the two values between which lies what was rounded to this text."""
    half = 0.5001 * 10.0 ** -len(printed.partition(".")[2])
    return float(printed) - half, float(printed) + half


def _reach(one, other):
    return one[0] <= other[1] and other[0] <= one[1]


def _seconds(printed):
    parts = re.findall(r"([\d.]+(?:e[+-]?\d+)?) ?(ns|us|µs|μs|ms|s|min)\b", printed)
    return sum(float(value) * UNITS[unit] for value, unit in parts)
