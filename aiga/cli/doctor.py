"""`aiga doctor`: what works on this machine, and the command that mends what does not."""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

EXTRAS = {
    "atari": ("ale_py",),
    "brax": ("brax",),
    "craftax": ("craftax",),
    "gymnax": ("gymnax",),
    "minigrid": ("minigrid",),
    "fm": ("pydantic_ai", "openai"),
    "anthropic": ("anthropic",),
    "google": ("google.genai",),
    "report": ("plotly", "PIL"),
    "bench": ("ribs", "qdax", "evosax"),
    "parity": ("gymnasium", "Box2D"),
}
"""Each extra of the package and the modules that it brings."""
COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}
DISK_GB = 2.0
"""Less free space than this is a fault."""
LANDLOCK_CREATE_RULESET = 444  # the system call's number, the same on every architecture


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    state: str
    """`ok`, `missing` (something optional) or `broken` (something essential)."""
    detail: str
    mend: str = ""


def main() -> int:
    """Show all findings; 1 if something essential is broken."""
    findings = list(examine())
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
    if sys.platform == "linux":
        yield _bubblewrap()
        yield _landlock()
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


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def _bubblewrap() -> Finding:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Finding("bubblewrap", "missing", "no bwrap", "apt install bubblewrap (or dnf, pacman)")
    trial = subprocess.run(
        [bwrap, "--ro-bind", "/", "/", "--unshare-all", "true"], capture_output=True, text=True, check=False, timeout=30
    )
    if trial.returncode == 0:
        return Finding("bubblewrap", "ok", bwrap)
    restriction = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restriction.exists() and restriction.read_text().strip() == "1":
        mend = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap"
        return Finding("bubblewrap", "missing", "AppArmor restricts user namespaces", mend)
    mend = "sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1"
    return Finding("bubblewrap", "missing", trial.stderr.strip()[:200] or "it does not start", mend)


def _landlock() -> Finding:
    version = ctypes.CDLL(None, use_errno=True).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version >= 1:
        return Finding("landlock", "ok", f"interface version {version}")
    mend = "use a kernel of 5.13 or later, started with landlock in its lsm= list"
    return Finding("landlock", "missing", f"kernel {platform.release()} does not offer it", mend)


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
