"""A paper's claims as experiments against their own controls."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from aiga.core.errors import UsageError
from aiga.runs import catalogue
from aiga.runs.loop import resume, run
from aiga.runs.record import Run


class Claim(NamedTuple):
    """What a system's paper says, and the runs that would show it."""

    statement: str
    source: str
    """Paper and figure or table."""
    metric: str
    """The key of the info whose last value is compared."""
    treatment: Mapping[str, Any]
    """Options of `make`."""
    control: Mapping[str, Any]
    """Options of `make` for the strongest cheap control."""
    steps: int | None = None
    """Steps of every run; None: the system ends its runs itself."""
    margin: float = 0.0
    """The claim holds if the whole interval of the effect lies above this; in units of the metric."""
    better: Literal["higher", "lower"] = "higher"
    precondition: str = ""
    others: Mapping[str, Mapping[str, Any]] = {}
    """Further arms, shown in the table but not part of the verdict."""
    also: tuple[str, ...] = ()
    """Further metrics, shown in the table."""

    def arms(self) -> dict[str, Mapping[str, Any]]:
        return {"treatment": self.treatment, "control": self.control, **self.others}


class Result(NamedTuple):
    """What the runs said."""

    system: str
    claim: str
    metric: str
    better: str
    treatment: list[float]
    control: list[float]
    effect: float
    """Mean of the treatment less that of the control; the other way round where lower is better."""
    interval: list[float]
    """95 %, bootstrapped over seeds."""
    holds: bool
    seconds: float
    table: dict[str, dict[str, list[float]]]
    """Every arm's values of every shown metric, a value a seed."""


def stated(system: str) -> tuple[Claim, ...]:
    """What a system claims: its file's `CLAIM`, one or several."""
    claims = getattr(catalogue.find(system), "CLAIM", ())
    claims = (claims,) if isinstance(claims, Claim) else tuple(claims)
    if not claims:
        raise UsageError(f"{system} states no claim: give a system whose file has a `CLAIM`.")
    return claims


def claim(
    system: str,
    seeds: int = 5,
    *,
    which: int = 1,
    out: str | Path | None = None,
    workers: int | None = None,
    write: bool = False,
) -> Result:
    """Run a system's claim; a given `out` that holds part of the runs is continued.

    Args:
        system: A system with a `CLAIM`.
        seeds: Runs of each arm, with seeds 0, 1, ...
        which: Of several claims, the first, second, ...; the runs of all but the first are in folders of their own.
        out: Folder of the runs; default: a new one below `runs/`.
        workers: Worker processes of each run.
        write: Also write the table into the system's page of the documentation.
    """
    claims, started = stated(system), time.monotonic()
    if not 1 <= which <= len(claims):
        raise UsageError(f"--which is {which}, but {system} states {len(claims)}: give a number from 1.")
    if seeds < 1:
        raise UsageError(f"--seeds is {seeds}: give a number above zero.")
    folder = Path(out) if out is not None else default_folder(system)
    one = claims[which - 1]
    table = _table(system, one, folder if which == 1 else folder / f"claim-{which}", seeds, workers)
    treatment, control = (table[arm][one.metric] for arm in ("treatment", "control"))
    effect, interval = difference(treatment, control, one.better)
    holds, seconds = bool(interval[0] > one.margin), time.monotonic() - started
    result = Result(
        system, one.statement, one.metric, one.better, treatment, control, effect, interval, holds, seconds, table
    )
    if write:
        _write(result, one, which)
    return result


def default_folder(system: str) -> Path:
    """A new folder for the runs of a claim."""
    return Path("runs") / f"claim-{catalogue.label(system)}-{time.strftime('%Y%m%d-%H%M%S')}"


def _table(
    system: str, claim: Claim, folder: Path, seeds: int, workers: int | None
) -> dict[str, dict[str, list[float]]]:
    """Every arm's runs, as values of the shown metrics."""
    table = {}
    for arm, options in claim.arms().items():
        places = [folder / f"{arm}-seed{seed}".replace(" ", "-") for seed in range(seeds)]
        runs = [_one(system, place, seed, options, claim, workers) for seed, place in enumerate(places)]
        table[arm] = {n: [float(r.latest().get(n, "nan")) for r in runs] for n in (claim.metric, *claim.also)}
    return table


def difference(treatment: list[float], control: list[float], better: str = "higher") -> tuple[float, list[float]]:
    """The difference of the means and its 95 % interval, bootstrapped; positive where the treatment is better."""
    sign = 1.0 if better == "higher" else -1.0
    generator = np.random.default_rng(0)
    means = [generator.choice(values, (10_000, len(values))).mean(axis=1) for values in (treatment, control)]
    low, high = np.quantile(sign * (means[0] - means[1]), [0.025, 0.975])
    return float(sign * (np.mean(treatment) - np.mean(control))), [float(low), float(high)]


def markdown(result: Result) -> str:
    """The table of every arm: median and all seeds of each shown metric."""
    names = list(next(iter(result.table.values())))
    lines = ["| arm | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for arm, values in result.table.items():
        cells = [f"**{np.median(v):,.6g}** ({', '.join(f'{x:,.6g}' for x in v)})" for v in values.values()]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    low, high = result.interval
    verdict = "holds" if result.holds else "does not hold"
    effect = f"effect on {result.metric} {result.effect:,.4g}, 95 % interval {low:,.4g} to {high:,.4g}"
    length = f"{len(result.treatment)} seeds an arm, {result.seconds / 60:.1f} minutes"
    return "\n".join([*lines, "", f"Medians, and each seed; {effect}; {length}. The claim **{verdict}**."])


def _one(system: str, directory: Path, seed: int, options: Mapping[str, Any], claim: Claim, workers: int | None) -> Run:
    """One run of the experiment: read if it is finished, continued if it was begun."""
    if not (directory / "run.json").exists():
        done = run(system, seed=seed, steps=claim.steps or _ENDLESS, out=directory, workers=workers, **options)
    else:
        done = Run(directory)
        if done.options != json.loads(json.dumps(dict(options))) or done.manifest["seed"] != seed:
            raise UsageError(f"{directory} holds a run with other options than the claim's: give another --out.")
        done = done if done.status == "finished" else resume(directory, workers=workers)
    if done.status != "finished":
        raise UsageError(
            f"the experiment was {done.status}: go on with `aiga claim {system} --out {directory.parent}`."
        )
    return done


_ENDLESS = 10**9
"""Steps of a run that its system ends."""


def _write(result: Result, claim: Claim, which: int) -> None:
    page = Path(__file__).parents[2] / "docs" / "systems" / f"{catalogue.page(result.system)}.md"
    text = page.read_text() if page.exists() else ""
    variant = result.system.partition(":")[2]
    mark = " ".join(filter(None, ["claim", variant, str(which) if which > 1 else ""]))
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if begin not in text or end not in text:
        raise UsageError(f"{page} has no place for the table: put `{begin}` and `{end}` where it belongs.")
    head, _, rest = text.partition(begin)
    said = f"{claim.statement} ({claim.source})\n\n{markdown(result)}"
    page.write_text(f"{head}{begin}\n{said}\n{end}{rest.partition(end)[2]}")
