"""The one loop: it owns seeds, checkpoints, events, progress, limits, stops and resumption.

    for step = start, start + 1, ...:
        state, info <- system.step(key(seed, step), state)
        record info; from time to time save state

The key of a step depends on the seed and the step alone, so a resumed run continues the stream.
"""

import asyncio
import platform
import signal
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import metadata
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import jax

from aiga.core.errors import BudgetExceeded, Stopped, UsageError
from aiga.core.lifts import maybe
from aiga.core.protocols import System
from aiga.runs import catalogue
from aiga.runs.checkpoints import Checkpoint, restore
from aiga.runs.events import Failed, Stage
from aiga.runs.outside import Asked, Outside
from aiga.runs.pools import opened, reopened
from aiga.runs.progress import Progress
from aiga.runs.record import Run
from aiga.runs.store import Store

T = TypeVar("T")

SAVE_EVERY = 4.0
"""Seconds between checkpoints; longer when a checkpoint is large, so that saving takes at most 5 % of the time."""
NUMBERS = Integral, Real
KINDS = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "True or False"),
    str: (str, "a text"),
}
"""What an option of a plain type may be."""
LAPTOP_MINUTES = 2.0
"""How long a run with the laptop preset lasts when it is given no limit."""


class Limits(NamedTuple):
    """When to stop: totals of the run, over all its resumptions; None: no such limit."""

    steps: int | None = None
    minutes: float | None = None

    def reached(self, steps: int, seconds: float) -> bool:
        return self.fraction(steps, seconds) >= 1

    def fraction(self, steps: int, seconds: float) -> float:
        """How much of the run is done, by the limit that is nearest."""
        by_steps = 0.0 if self.steps is None else steps / self.steps
        by_time = 0.0 if self.minutes is None else seconds / (60 * self.minutes)
        return max(by_steps, by_time)


def run(
    system: str,
    *,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    preset: str = "laptop",
    pool: str = "local",
    workers: int | Literal["auto"] | None = None,
    address: str | None = None,
    fm: str = "offline",
    embedder: str = "local",
    budget: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    budget_evaluations: int | None = None,
    unsafe_no_sandbox: bool = False,
    approve: str = "auto",
    **options: Any,
) -> Run:
    """Run a system into a new run directory.

    Args:
        system: A name of `aiga list`, a dotted module, or the path of a file with a `make`.
        seed: Everything random follows from it.
        steps: Stop after so many steps.
        minutes: Stop after so many minutes; without `steps` and `minutes`, a laptop run takes two minutes.
        out: The run directory, new or empty; default: a folder below `runs/`.
        preset: `laptop`, or `paper` for the paper's own settings.
        pool: Where work runs: in processes, `local` or of a `ray` cluster, or in `threads`, for work that only waits.
        workers: How many workers; default, and `auto`: one for each core of the machine or the cluster.
        address: Of a running Ray, with `--pool ray`; default: one is started on this machine.
        fm: The foundation model, `PROVIDER:MODEL`; `offline`: none; `replay:DIR`: the answers of another run.
        embedder: What turns texts into vectors, `PROVIDER:MODEL`; `local`: word counts, without a model.
        budget: Dollars that foundation models may cost.
        budget_tokens: Tokens that they may read and write.
        budget_calls: Times that they may be asked.
        budget_evaluations: Programs that may run in the sandbox.
        unsafe_no_sandbox: Run model-written programs without a sandbox; the record says so.
        approve: Who says whether what agents wrote may be evaluated: `auto`, everything may; `rules`, or `rules:FILE`
            for those of a TOML or JSON file; `person`, at the terminal; `files`, a person with `aiga approve`.
        options: The system's own, as of its `make`.
    """
    if seed < 0:
        raise UsageError(f"--seed is {seed}: give a whole number from zero on.")
    module = catalogue.find(system)
    options = _preset(module, preset) | options
    if steps is None and minutes is None and preset == "laptop":
        minutes = LAPTOP_MINUTES
    limits = Limits(_positive("steps", steps), _positive("minutes", minutes))
    kind, _, place = fm.partition(":")
    fm = f"replay:{Path(place).resolve()}" if kind == "replay" else fm  # so that it is resumed from anywhere
    caps = (budget, budget_tokens, budget_calls, budget_evaluations)
    asked = Asked(fm, embedder, *caps, unsafe_no_sandbox, _gate(approve))
    wanted = catalogue.resources(module.make)
    asked.check(system, wanted)
    with opened(pool, workers, address) as workforce:
        outside = Outside(asked, wanted)
        built = build(module, options, {"pool": workforce, **outside.resources})  # before the directory: a wrong option
        manifest = {  # leaves no trace
            "system": catalogue.address(system),
            "options": options,
            "preset": preset,
            "seed": seed,
            "limits": limits._asdict(),
            "pool": {"kind": pool, "workers": workers, "address": address},
            "budget": budget,
            "outside": asked._asdict(),
            "sandbox": outside.level,
            "model": outside.model,
            **_circumstances(),
        }
        store = Store.create(Path(out) if out is not None else _fresh_directory(system, seed), manifest)
        try:
            return _in_loop(_drive(store, built, limits, outside))
        except UsageError:
            if "finished" in wanted:  # others may wait for a person's answers, and go on from there
                _forget_if_nothing_came(store.directory)
            raise


def resume(
    directory: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    pool: str | None = None,
    workers: int | Literal["auto"] | None = None,
    address: str | None = None,
    approve: str | None = None,
    **budgets: float | int | None,
) -> Run:
    """Continue a run from its newest checkpoint; given limits and budgets are new totals that replace the run's own.

    `approve` replaces who allows what agents wrote, for this and later resumptions; `pool`, `workers` and `address`
    where this one runs.
    """
    record = Run(directory)
    given = Limits(_positive("steps", steps), _positive("minutes", minutes))
    limits = _known(Limits, record, "limits") if given == Limits() else given
    module = catalogue.find(record.system)
    with reopened(record.manifest.get("pool", {}), pool, workers, address) as workforce:
        wanted = catalogue.resources(module.make)
        outside = Outside(_asked(record, budgets, approve, wanted), wanted, record)
        built = build(module, record.options, {"pool": workforce, **outside.resources})
        done = record.summary()
        if record.status == "finished" and (given == Limits() or limits.reached(done["steps"], done["seconds"])):
            raise UsageError(
                f"{directory} is finished ({done['steps']} steps, {done['seconds'] / 60:.1f} minutes): "
                "give a larger total with --steps or --minutes to go on."
            )
        return _in_loop(_drive(Store.open(record.directory), built, limits, outside))


def build(module: ModuleType, options: Mapping[str, Any], resources: Mapping[str, Any] | None = None) -> System:
    """The system that `make` of `module` builds from `options`, given the resources that it asks for."""
    known = catalogue.options(module.make)
    for name in options:
        if name not in known:
            raise UsageError(f"{module.__name__} has no option {name!r}; {catalogue.suggest(name, known, '--help')}.")
        allowed = get_args(known[name].annotation) if get_origin(known[name].annotation) is Literal else ()
        if allowed and options[name] not in allowed:
            raise UsageError(f"`{name}` is {options[name]!r}: give one of {', '.join(map(str, allowed))}.")
        kind, called = KINDS.get(known[name].annotation, (object, ""))
        if not isinstance(options[name], kind) or (kind in NUMBERS and isinstance(options[name], bool)):
            raise UsageError(f"`{name}` is {options[name]!r}: give {called}.")
    wanted = catalogue.resources(module.make)
    provided = {name: value for name, value in (resources or {}).items() if name in wanted}
    return module.make(**{name: _tuples(value) for name, value in options.items()}, **provided)


def final_state(record: Run) -> Any:
    """The state in the newest checkpoint of a run."""
    system = build(catalogue.find(record.system), record.options)
    return _in_loop(restore(record, system)).state


def _forget_if_nothing_came(directory: Path) -> None:
    """Remove a run that was refused in its first step, so that the mended command can be given as it is."""
    if not Run(directory).bare:
        return
    for path in (*directory.glob("run.*"), *directory.glob("checkpoint*.npz")):
        path.unlink()
    for folder in (directory / "media", directory):
        with suppress(OSError):  # something else is in it
            folder.rmdir()


async def _drive(store: Store, system: System, limits: Limits, outside: Outside) -> Run:
    """Continue a run until a limit, a stop or an end; what was computed is saved, whatever happens."""
    record = Run(store.directory)
    outside.attach(store)
    try:
        at = await restore(record, system)
        store.rewind(at.step)
        store.note(status="running")
        with Progress(record.system, limits.fraction) as progress, _stops(store.directory) as stopped:
            for problem in at.problems:
                progress.tell(f"{problem} Continued from step {at.step}.")
                failed = Failed("checkpoint", f"{problem} Continued from step {at.step}.")
                store.record(at.step - 1, {"failed": failed})  # before it, or the next resumption forgets this
                store.set_aside("checkpoint.npz")
            outside.say, outside.aside, outside.stopped = progress.say, progress.aside, stopped
            try:
                status = await _steps(Loop(record, store, system, limits, progress, stopped), at)
            finally:
                await outside.settle()
        store.note(status=status)
    finally:
        store.close()
    return record


class Loop(NamedTuple):
    """What a running loop holds on to."""

    record: Run
    store: Store
    system: System
    limits: Limits
    progress: Progress
    stopped: Callable[[], bool]


async def _steps(loop: Loop, at: Checkpoint) -> str:
    """Step from a checkpoint on; the status with which it ended."""
    key = jax.random.key(loop.record.manifest["seed"])
    state, step, seconds = at.state, at.step, at.seconds
    began = next_save = time.monotonic()
    began -= at.seconds
    stage = loop.record.latest().get("stage/name")
    try:
        while not loop.stopped():
            if loop.limits.reached(step, seconds):
                return "finished"
            now = time.monotonic()
            if now >= next_save:
                loop.store.save(step, state, seconds)
                next_save = now + max(SAVE_EVERY, 20 * (time.monotonic() - now))
            state, info = await maybe(loop.system.step(jax.random.fold_in(key, step + 1), state))
            info = jax.device_get(dict(info))
            seconds = time.monotonic() - began
            if info.get("stage/name") != stage:
                stage = info["stage/name"]
                info["stage"] = Stage(stage)
            loop.store.record(step, {"run/steps": step + 1, "run/seconds": seconds} | info)
            step += 1
            loop.progress.update(step, seconds, info)
            if "run/finished" in info:
                return "finished"
        return "stopped"
    except BudgetExceeded as error:
        loop.store.note(reason=str(error))
        return "budget"
    except Stopped:
        return "stopped"
    except BaseException as error:
        with suppress(UsageError):  # the disk may be what failed
            loop.store.record(step, {"failed": Failed(f"step {step}", f"{type(error).__name__}: {error}")})
            loop.store.note(status="failed")
        raise
    finally:
        loop.store.save(step, state, seconds)


@contextmanager
def _stops(directory: Path) -> Iterator[Callable[[], bool]]:
    """Whether somebody asked the run to stop: Ctrl-C or SIGTERM, once, or a file `STOP` in its directory.

    A second Ctrl-C interrupts the step itself.
    """
    file, asked = directory / "STOP", threading.Event()
    file.unlink(missing_ok=True)
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if main}

    def ask(number: int, frame: Any) -> None:
        del frame
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: asked.is_set() or file.exists()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to completion, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _asked(
    record: Run, budgets: Mapping[str, float | int | None], approve: str | None, wanted: Collection[str]
) -> Asked:
    """What was asked of the world outside when the run began, with what is given in its place."""
    given = {name: value for name, value in budgets.items() if value is not None}
    gate = record.approve if approve is None else _gate(approve)
    asked = _known(Asked, record, "outside")._replace(approve=gate, **given)
    asked.check(record.system, ("fm", "embedder", "sandbox", *wanted))
    return asked


def _known(kind: Callable[..., T], record: Run, name: str) -> T:
    """A part of the manifest, if this version knows all of its fields."""
    try:
        return kind(**record.manifest.get(name, {}))
    except TypeError as error:
        raise UsageError(
            f"{record.directory}/run.json says of {name} what this version of aiga does not know ({error}): "
            "upgrade with `pip install -U aiga`."
        ) from error


def _gate(approve: str) -> str:
    """With the whole path of a file of rules."""
    kind, colon, place = approve.partition(":")
    return f"{kind}:{Path(place).resolve()}" if kind == "rules" and colon else approve


def _preset(module: ModuleType, preset: str) -> dict[str, Any]:
    if preset not in ("laptop", "paper"):
        raise UsageError(f"--preset {preset!r} is unknown: give `laptop` or `paper`.")
    return dict(module.PAPER) if preset == "paper" else {}


def _positive(name: str, value: Any) -> Any:
    if value is not None and not value > 0:
        raise UsageError(f"--{name} is {value!r}: give a number above zero.")
    return value


def _tuples(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples again."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _fresh_directory(system: str, seed: int) -> Path:
    name = f"{catalogue.label(system)}-{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    taken = (Path("runs") / (name + suffix) for suffix in ("", *(f"-{i}" for i in range(2, 1000))))
    return next(path for path in taken if not path.exists())


def _circumstances() -> dict[str, Any]:
    packages = ("aiga", "jax", "equinox", "numpy")
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "device": jax.devices()[0].device_kind,
    }
