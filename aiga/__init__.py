"""AI-generating algorithms: systems that invent, keep what is new and good as stepping stones, and build on it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiga.runs.claims import claim
    from aiga.runs.loop import resume, run
    from aiga.runs.record import Run

    load = Run

__all__ = ["claim", "load", "resume", "run"]

_HOMES = {"claim": "claims.claim", "load": "record.Run", "resume": "loop.resume", "run": "loop.run"}


def __getattr__(name: str) -> Any:
    """Import on first use: `import aiga` alone imports neither jax nor any extra."""
    if name not in _HOMES:
        raise AttributeError(f"module `aiga` has no attribute `{name}`; it has {', '.join(__all__)}.")
    module, _, value = _HOMES[name].partition(".")
    return getattr(import_module(f"aiga.runs.{module}"), value)


def __dir__() -> list[str]:
    return __all__
