"""`aiga doctor`: what works on this machine, and the command that mends what does not."""

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from aiga.core.errors import UsageError
from aiga.runs import browser
from aiga.sandbox import ladder

EXTRAS = {
    "atari": ("ale_py",),
    "brax": ("brax",),
    "craftax": ("craftax",),
    "gymnax": ("gymnax",),
    "minigrid": ("minigrid",),
    "fm": ("pydantic_ai", "openai"),
    "anthropic": ("anthropic",),
    "google": ("google.genai",),
    "report": ("plotly", "PIL", "pandas"),
    "dashboard": ("starlette", "uvicorn", "plotly"),
    "ray": ("ray",),
    "tensorboard": ("tensorboardX", "PIL"),
    "wandb": ("wandb", "PIL"),
    "bench": ("ribs", "qdax", "evosax"),
    "parity": ("gymnasium", "Box2D"),
}
"""Each extra of the package and the modules that it brings."""
COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}
RAY_SECONDS = 60.0
"""A Ray that has done nothing for so long does not work."""
DISK_GB = 2.0
"""Less free space than this is a fault."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    state: str
    """`ok`, `missing` (something optional) or `broken` (something essential)."""
    detail: str
    mend: str = ""


def main(ray: bool = False) -> int:
    """Show all findings; 1 if something essential is broken."""
    findings = [*examine(), *([_ray()] if ray and _installed("ray") else [])]
    console = Console(highlight=False, soft_wrap=True)  # a command stays on one line, to be copied
    for finding in findings:
        console.print(
            Text.assemble((f"{finding.state:8}", COLOURS[finding.state]), f"{finding.what:18}", finding.detail)
        )
        if finding.mend:
            console.print(Text(f"{'':8}{'':18}mend: {finding.mend}"))
    return int(any(finding.state == "broken" for finding in findings))


def examine() -> Iterator[Finding]:
    """Look at everything, essentials first."""
    yield _python()
    yield _jax()
    yield _cache()
    yield from (_extra(name, modules) for name, modules in EXTRAS.items())
    yield _browser()
    if sys.platform == "linux":
        yield from _sandbox()
    yield _data()
    yield _disk(Path.cwd())


def _python() -> Finding:
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "ok", platform.python_version())
    mend = "make clean test PYTHON=/path/to/python3.13"
    return Finding("python", "broken", f"{platform.python_version()}; 3.11 to 3.13 are tested", mend)


def _jax() -> Finding:
    try:
        import jax

        devices = jax.devices()
    except Exception as error:  # an import that fails in a library, or a driver that does not start
        return Finding("jax", "broken", " ".join(str(error).split())[:200], "pip install -U jax")
    kind = devices[0].device_kind
    mend = "" if devices[0].platform != "cpu" or not shutil.which("nvidia-smi") else "pip install -U 'jax[cuda13]'"
    return Finding("jax", "ok", f"{jax.__version__} on {len(devices)} x {kind}", mend)


def _cache() -> Finding:
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if not folder:
        mend = "export JAX_COMPILATION_CACHE_DIR=~/.cache/aiga-jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0"
        return Finding("compilation cache", "missing", "programs are compiled anew in every process", mend)
    nearest = next(path for path in (Path(folder), *Path(folder).absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        return Finding("compilation cache", "missing", f"{folder} cannot be written", f"chmod u+w {nearest}")
    return Finding("compilation cache", "ok", folder)


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    absent = [module for module in modules if not _installed(module)]
    if absent:
        return Finding(f"extra {name}", "missing", f"no {', '.join(absent)}", f"pip install 'aiga[{name}]'")
    return Finding(f"extra {name}", "ok", ", ".join(modules))


def _ray() -> Finding:
    """A task on a Ray that is started for it."""
    from aiga.runs.ray_pool import RayPool

    async def run() -> int:
        return await asyncio.wait_for(pool.submit(abs, -1), RAY_SECONDS)

    try:
        with RayPool(1) as pool:
            asyncio.run(run())
    except Exception as error:  # of Ray: each fault has its own class
        said = " ".join(str(error).split())[:200]
        return Finding("ray", "missing", f"{type(error).__name__}: {said}", "pip install -U 'aiga[ray]'")
    return Finding("ray", "ok", "a task ran on a Ray of this machine")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def _browser() -> Finding:
    """What `aiga report --format pdf` prints with."""
    path = browser.found()
    if path:
        return Finding("browser", "ok", path)
    mend = "apt-get install chromium" if sys.platform == "linux" else "install Chrome, Edge or Chromium"
    return Finding("browser", "missing", "reports cannot be printed as PDF", mend)


def _sandbox() -> Iterator[Finding]:
    """Each rung of the ladder, as it is tried; the first that holds is used."""
    name = os.environ.get(ladder.VARIABLE, "")
    try:
        found = list(ladder.examine(name, afresh=True))
    except UsageError as error:
        yield Finding("sandbox", "missing", str(error), f"unset {ladder.VARIABLE}")
        return
    yield from (_rung(finding) for finding in found)
    if found and found[-1].rung:
        detail = f"{found[-1].rung.level}: the self-test was held"
        yield Finding("sandbox", "ok", detail)
    else:
        detail = "model-written programs cannot run" + f": {ladder.VARIABLE}={name}" * bool(name)
        yield Finding("sandbox", "missing", detail, f"unset {ladder.VARIABLE}" if name else ladder.MEND)


def _rung(finding: ladder.Finding) -> Finding:
    if finding.rung:
        return Finding(finding.name, "ok", finding.rung.level)
    return Finding(finding.name, "missing", finding.fault, finding.mend)


def _data() -> Finding:
    folder = os.environ.get("AIGA_DATA", "")
    if not folder:
        return Finding(
            "data", "missing", "AIGA_DATA is not set", "export AIGA_DATA=FOLDER, for systems that learn from data"
        )
    if not Path(folder).is_dir():
        return Finding(
            "data", "missing", f"AIGA_DATA={folder} is no folder", "export AIGA_DATA=FOLDER, one that exists"
        )
    return Finding("data", "ok", folder)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_GB:
        return Finding("disk", "broken", f"{free:.1f} GB free in {folder}", "remove old folders of runs/, or use --out")
    return Finding("disk", "ok", f"{free:.0f} GB free in {folder}")
