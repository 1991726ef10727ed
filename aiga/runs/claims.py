"""A paper's claims as experiments against their own controls."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from aiga.core.errors import UsageError
from aiga.runs import catalogue
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
    """Of all runs together, whenever they were made."""
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
            A run that another claim in `out` has made already is copied.
        out: Folder of the runs; default: a new one below `runs/`.
        workers: Worker processes of each run.
        write: Also write the table into the system's page of the documentation.
    """
    claims = stated(system)
    if not 1 <= which <= len(claims):
        raise UsageError(f"--which is {which}, but {system} states {len(claims)}: give a number from 1.")
    if seeds < 1:
        raise UsageError(f"--seeds is {seeds}: give a number above zero.")
    folder = Path(out) if out is not None else default_folder(system)
    one, place = claims[which - 1], folder if which == 1 else folder / f"claim-{which}"
    if not (place / "claim.json").exists():
        _note(place, system, one)
    try:
        arms = _arms(system, one, folder, place, seeds, workers)
    except _Unfinished as error:
        number = f" --which {which}" if len(claims) > 1 else ""
        command = f"aiga claim {system} --seeds {seeds}{number} --out {folder}"
        raise UsageError(f"the experiment was {error}: go on with `{command}`.") from error
    _note(place, system, one)  # the runs are this claim's, whatever was noted before
    result = judged(system, one, {arm: _values(one, runs) for arm, runs in arms.items()}, _seconds(arms))
    if write:
        _write(result, one, which)
    return result


def judged(system: str, claim: Claim, table: dict[str, dict[str, list[float]]], seconds: float) -> Result:
    """What the values of every arm say about a claim."""
    treatment, control = (table[arm][claim.metric] for arm in ("treatment", "control"))
    effect, interval = difference(treatment, control, claim.better)
    holds = bool(interval[0] > claim.margin)
    said = (claim.statement, claim.metric, claim.better, treatment, control, effect, interval, holds, seconds, table)
    return Result(system, *said)


def folders(directory: str | Path) -> list[Path]:
    """The folders of the claims that have runs in `directory`: itself for the first, `claim-2`, ... for others."""
    place = Path(directory)
    others = sorted(place.glob("claim-*/claim.json"), key=lambda file: (len(file.parent.name), file.parent.name))
    return [file.parent for file in (place / "claim.json", *others) if file.is_file()]


def read(folder: str | Path) -> tuple[str, Claim, dict[str, list[Run]]]:
    """The system, the claim, and the runs of each arm in the order of their seeds, finished or not; nothing is run."""
    place = Path(folder)
    try:
        noted = json.loads((place / "claim.json").read_text(encoding="utf-8"))
        system = str(noted.pop("system"))
        claim = _checked(Claim(**{**noted, "also": tuple(noted["also"])}))
        arms = {arm: _seeds(place, arm) for arm in claim.arms()}
    except FileNotFoundError as error:
        raise UsageError(
            f"{place} holds no claim (it has no claim.json): `aiga claim SYSTEM --out {place}` writes one."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{place}/claim.json cannot be read ({error}): `aiga claim` writes it again.") from error
    return system, claim, {arm: [Run(path) for path in paths] for arm, paths in arms.items()}


def _checked(claim: Claim) -> Claim:
    """A claim that was read from a file, if its parts are what they should be."""
    texts = (claim.statement, claim.source, claim.metric, claim.better, claim.precondition, *claim.also)
    options = (claim.treatment, claim.control, claim.others, *claim.others.values())
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(some, dict) for some in options):
        raise TypeError("a text or the options of an arm are none")
    return claim._replace(margin=float(claim.margin))


def measured(folder: str | Path) -> Result:
    """What the finished runs of a claim's folder say; nothing is run.

    Raises:
        UsageError: No run of the treatment, or none of the control, is finished.
    """
    system, claim, arms = read(folder)
    done = {arm: [run for run in runs if run.status == "finished"] for arm, runs in arms.items()}
    if not (done["treatment"] and done["control"]):
        raise UsageError(f"{folder} has no finished run of treatment or control: go on with `aiga claim {system}`.")
    table = {arm: _values(claim, runs) for arm, runs in done.items() if runs}
    return judged(system, claim, table, _seconds(done))


def default_folder(system: str) -> Path:
    """A new folder for the runs of a claim."""
    return Path("runs") / f"claim-{catalogue.label(system)}-{time.strftime('%Y%m%d-%H%M%S')}"


class _Unfinished(Exception):
    """A run that was stopped, or otherwise did not come to its end."""


def _arms(
    system: str, claim: Claim, folder: Path, place: Path, seeds: int, workers: int | None
) -> dict[str, list[Run]]:
    """Every arm's runs: read if they are finished, continued if they were begun, else copied or run."""
    found = {arm: [] for arm in claim.arms()}
    for arm, options in claim.arms().items():
        for seed in range(seeds):
            directory = place / f"{_name(arm)}{seed}"
            if not (directory / "run.json").exists():
                _copy(system, folder, directory, seed, options, claim)
            found[arm].append(_one(system, directory, seed, options, claim, workers))
    return found


def _copy(system: str, folder: Path, directory: Path, seed: int, options: Mapping[str, Any], claim: Claim) -> None:
    """Another claim's finished run of the same, if there is one below `folder`."""
    sought = catalogue.address(system), json.loads(json.dumps(dict(options))), seed, claim.steps or _ENDLESS
    for path in (*folder.glob("[!.]*-seed*/run.json"), *folder.glob("claim-*/[!.]*-seed*/run.json")):
        run = Run(path.parent)
        held = run.system, run.options, run.manifest["seed"], run.manifest["limits"]["steps"]
        if run.status == "finished" and held == sought:
            unfinished = directory.with_name(f".{directory.name}")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(path.parent, unfinished)
            unfinished.rename(directory)
            return


def _seconds(arms: Mapping[str, Sequence[Run]]) -> float:
    """How long the runs of all arms took, whenever that was."""
    return sum(run.summary()["seconds"] for runs in arms.values() for run in runs)


def _values(claim: Claim, runs: Sequence[Run]) -> dict[str, list[float]]:
    """The last value of each shown metric in each run of an arm.

    Raises:
        UsageError: The runs had different data, as when `AIGA_DATA` was set for some of them.
    """
    ends = [run.latest() for run in runs]
    data = {str(end.get("data/source")): run.directory for end, run in zip(ends, runs, strict=True)}
    if len(data) > 1:
        told = ", ".join(f"{source} in {place}" for source, place in data.items())
        raise UsageError(f"runs of one arm had different data ({told}): remove those that had the wrong one.")
    return {
        n: [v if isinstance(v := end.get(n), float) else np.nan for end in ends] for n in (claim.metric, *claim.also)
    }


def _name(arm: str) -> str:
    """How the names of an arm's runs begin; the seed follows."""
    return f"{arm}-seed".replace(" ", "-")


def _seeds(folder: Path, arm: str) -> list[Path]:
    """The runs of an arm, by seed."""
    found = {path.parent.name.removeprefix(_name(arm)): path.parent for path in folder.glob("*/run.json")}
    return [found[seed] for seed in sorted((seed for seed in found if seed.isdecimal()), key=int)]


def _note(folder: Path, system: str, claim: Claim) -> None:
    """Write down beside the runs what they are for, so that they can be read without the system's file."""
    folder.mkdir(parents=True, exist_ok=True)
    noted = {"system": catalogue.address(system), **claim._asdict()}
    (folder / "claim.json").write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")


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
    """One run of the experiment."""
    from aiga.runs.loop import resume, run  # jax, only when something is run

    if not (directory / "run.json").exists():
        done = run(system, seed=seed, steps=claim.steps or _ENDLESS, out=directory, workers=workers, **options)
    else:
        done = Run(directory)
        if done.options != json.loads(json.dumps(dict(options))) or done.manifest["seed"] != seed:
            raise UsageError(f"{directory} holds a run with other options than the claim's: give another --out.")
        done = done if done.status == "finished" else resume(directory, workers=workers)
    if done.status != "finished":
        raise _Unfinished(done.status)
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
