"""AI-generating algorithms: systems that invent, keep what is new and good as stepping stones, and build on it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiga.inspect import load
    from aiga.runs.claims import claim
    from aiga.runs.loop import resume, run

__all__ = ["claim", "load", "resume", "run"]

_HOMES = {"claim": "runs.claims.claim", "load": "inspect.load", "resume": "runs.loop.resume", "run": "runs.loop.run"}


def __getattr__(name: str) -> Any:
    """Import on first use: `import aiga` alone imports neither jax nor any extra."""
    if name not in _HOMES:
        raise AttributeError(f"module `aiga` has no attribute `{name}`; it has {', '.join(__all__)}.")
    module, _, value = _HOMES[name].rpartition(".")
    return getattr(import_module(f"aiga.{module}"), value)


def __dir__() -> list[str]:
    return __all__
