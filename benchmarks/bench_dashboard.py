"""The dashboard in a headless Chromium without a graphics card, against the limits that we set for it.

Three rounds, each with a dashboard and a browser of its own; the least of them is told, both in seconds and in
CPU-seconds of the dashboard and the browser together, since a busy machine adds to the first alone.  The last row says
how busy it was.  Any request off the machine ends the benchmark.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import row

from aiga.core.errors import UsageError, require
from aiga.core.trees import identities
from aiga.runs import browser
from aiga.runs.events import Born, Cloud, Failed
from aiga.runs.store import Store

ROUNDS = 3
MANIFEST = {"system": "me_es", "options": {}, "seed": 0, "sandbox": None, "model": None}
OPTIONS = ["--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PLACES = {
    "a cloud of 200,000 is painted": ("run?id=cloud&view=cloud", 2.5),
    "a lineage of 50,000 opens": ("run?id=lineage&view=lineage", 3.0),
    "a run of a million rows opens": ("run?id=million", 3.0),
}
"""What is opened, and within how many seconds."""
MEMORY = 500.0
"""MB that the dashboard's processes may have, all of them together."""
FRAMES = 30.0
"""A second, while the slider is dragged."""
DRAWN = "[...document.querySelectorAll('div.plot')].some(place => place.plot?.drawn)"
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
COUNT = """() => {
  window.frames_ = 0;
  const next = () => { window.frames_ += 1; requestAnimationFrame(next); };
  requestAnimationFrame(next);
}"""
STOP = "document.querySelector('div.plot')._fullLayout.sliders[0].active"


class Round(NamedTuple):
    """What one dashboard and one browser took."""

    start: tuple[float, float]
    """Seconds and CPU-seconds."""
    opened: dict[str, tuple[float, float]]
    frames: float
    """A second, while the slider was dragged from one end to the other."""
    stops: int
    """At which it was seen."""
    memory: float
    """MB."""


def rows() -> list[dict[str, Any]]:
    """The least of three rounds; of frames a second, the most."""
    if browser.found() is None:
        raise UsageError("there is no browser to paint in: install Chromium, or Chrome (apt-get install chromium).")
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        rounds = [_round(folder) for _ in range(ROUNDS)]
    found = _within("`aiga dashboard` until its first answer", [one.start for one in rounds], 3.0)
    for name, (_, limit) in PLACES.items():
        found += _within(name, [one.opened[name] for one in rounds], limit)
    best = max(rounds, key=lambda one: one.frames)
    memory = min(one.memory for one in rounds)
    return [
        *found,
        row("dashboard", f"frames, the slider at {best.stops} stops", "1/s", best.frames, FRAMES, "budget"),
        row("dashboard", "memory, all three open", "MB", memory, MEMORY, "budget", smaller_is_better=True),
        row("dashboard", "load of the machine", "processes", max(before, 0.01), os.cpu_count() or 1, "cores"),
    ]


def _within(name: str, taken: list[tuple[float, float]], limit: float) -> list[dict[str, Any]]:
    return [
        row("dashboard", name, unit, min(values), limit, "budget", smaller_is_better=True)
        for unit, values in zip(("s", "CPU-s"), zip(*taken, strict=True), strict=True)
    ]


def _round(folder: str) -> Round:
    began, spent = time.perf_counter(), _cpu(os.getpid())
    with _dashboard(folder) as (process, address), _page(address) as page:
        start = process.answered - began, process.spent - spent
        page.goto(f"{address}#/")
        page.wait_for_function("[...document.querySelectorAll('.run .status')].length === 3")
        page.wait_for_function("![...document.querySelectorAll('.status.reading')].length")
        with _memory(process.pid) as most:
            opened, frames, stops = {}, 0.0, 0
            for name, (place, _) in PLACES.items():
                opened[name] = _opened(page, f"{address}#/{place}")
                if "cloud" in place:
                    frames, stops = _dragged(page)
        return Round(start, opened, frames, stops, most[0])


class Started(NamedTuple):
    """A dashboard that has answered."""

    pid: int
    answered: float
    """When, as `time.perf_counter` tells it."""
    spent: float
    """CPU-seconds until then."""


@contextlib.contextmanager
def _dashboard(folder: str) -> Iterator[tuple[Started, str]]:
    command = [sys.executable, "-m", "aiga", "dashboard", folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = re.search(r"http://\S+/", process.stdout.readline())
            assert said, "the dashboard did not start"
            with urllib.request.urlopen(said[0]) as answer:
                answer.read()
            yield Started(process.pid, time.perf_counter(), _cpu(os.getpid())), said[0]
        finally:
            process.terminate()


@contextlib.contextmanager
def _page(address: str) -> Iterator[Any]:
    """A page of a fresh browser, which may ask nobody but the dashboard."""
    playwright, foreign = require("playwright.sync_api", "dev"), []
    with (
        playwright.sync_playwright() as p,
        p.chromium.launch(executable_path=browser.found(), args=OPTIONS) as chromium,
        chromium.new_context(viewport={"width": 1280, "height": 800}) as context,
    ):
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("request", lambda asked: foreign.append(asked.url) if not _local(asked.url, address) else None)
        yield page
    assert not foreign, f"the page asked for {foreign}"


def _local(asked: str, address: str) -> bool:
    return asked.startswith((address, "data:", "blob:", "about:"))


def _opened(page: Any, address: str) -> tuple[float, float]:
    """Seconds and CPU-seconds from an address to a painted figure."""
    page.goto("about:blank")
    began, spent = time.perf_counter(), _cpu(os.getpid())
    page.goto(address)
    page.wait_for_function(DRAWN, polling="raf")
    page.evaluate(PAINTED)
    return time.perf_counter() - began, _cpu(os.getpid()) - spent


def _dragged(page: Any) -> tuple[float, int]:
    """Frames a second while the generation slider is dragged, and at how many stops it was."""
    page.locator(".slider-rail-touch-rect").first.scroll_into_view_if_needed()
    rail = page.locator(".slider-rail-touch-rect").first.bounding_box()
    y, seen = rail["y"] + rail["height"] / 2, set()
    page.mouse.move(rail["x"] + rail["width"] - 2, y)
    page.mouse.down()
    page.evaluate(COUNT)
    began = time.perf_counter()
    for share in np.linspace(1, 0, 90):
        page.mouse.move(rail["x"] + 2 + share * (rail["width"] - 4), y)
        seen.add(page.evaluate(STOP))
    frames = page.evaluate("window.frames_") / (time.perf_counter() - began)
    page.mouse.up()
    return frames, len(seen)


@contextlib.contextmanager
def _memory(pid: int) -> Iterator[list[float]]:
    """The most memory that a process and its descendants had together: MB, pages that they share counted once."""
    most, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            most[0] = max(most[0], sum(_proportional(one) for one in _family(pid)) / 1e6)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def _proportional(pid: int) -> int:
    """Bytes of a process, each page divided by how many processes share it."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else 0
    return 0


def _family(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _cpu(pid: int) -> float:
    """CPU-seconds of a process and its descendants, also of those that have ended."""
    ticks = 0
    for one in _family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # of itself, and of children that it waited for
    return ticks / os.sysconf("SC_CLK_TCK")


def _write(folder: Path) -> None:
    """A run of 500 generations of 400 pseudo-offspring; one of 50,000 births; one of a million rows of all kinds."""
    rng = np.random.default_rng(0)
    with contextlib.closing(Store.create(folder / "cloud", MANIFEST)) as store:
        middle = np.cumsum(rng.normal(0, 0.1, (500, 2)), axis=0)
        for first in range(0, 500, 5):
            store.record(first // 5, {"cloud": _cloud(rng, middle, first, 5), "run/steps": first // 5 + 1})
        store.note(status="finished")
    _births(rng, folder / "lineage", steps=500, born=100, metrics=1, events=0)
    _births(rng, folder / "million", steps=1_000, born=600, metrics=200, events=200)


def _cloud(rng: np.random.Generator, middle: np.ndarray, first: int, count: int) -> Cloud:
    chosen = middle[first : first + count]
    behaviour = chosen[:, None] + rng.normal(0, 0.3, (count, 400, 2))
    generation, index = np.arange(first, first + count), np.arange(400 * count).reshape(count, 400)
    parent, key = np.stack([generation, np.zeros_like(generation)], axis=1), np.zeros((count, 2), np.uint32)
    fitness, sign = behaviour.sum(axis=2), np.tile([1, -1], (count, 200))
    return Cloud(parent, generation, behaviour, fitness, index, sign, key, parent_behaviour=chosen)


def _births(rng: np.random.Generator, directory: Path, *, steps: int, born: int, metrics: int, events: int) -> None:
    """A run in which each birth has a parent of the last twenty steps."""
    with contextlib.closing(Store.create(directory, MANIFEST)) as store:
        for step in range(steps):
            parents = np.stack([step - rng.integers(1, 20, born), rng.integers(0, born, born)], axis=1)
            parents = np.where(parents[:, :1] < 0, -1, parents)[:, None]
            fitness = rng.random(born) + step / steps
            births = Born(identities(step, born, np), parents, "bench", np.ones(born), fitness)
            values = {f"a/metric {i}": float(np.sin(step / 50 + i)) for i in range(metrics)}
            failures = {f"event {i}": Failed("bench", "a reason of half a line") for i in range(events)}
            store.record(step, {"born": births, "run/steps": step + 1, "run/seconds": 1.0 * step, **values, **failures})
        store.note(status="finished")
