"""What every test runs under: compiled programs kept between runs, and every random key used once."""

import gc
import os
from pathlib import Path
from typing import Any

SETTINGS = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parent.parent / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_DEBUG_KEY_REUSE": "1",
}
for name, value in SETTINGS.items():  # before jax is imported; worker processes and subprocesses inherit it
    os.environ.setdefault(name, value)

MAPS = Path("/proc/self/maps")
MANY = 20_000
"""Pieces of memory.  Linux allows a process 65,530; each program takes several, and one too many is a crash."""


def pytest_runtest_teardown(item: Any, nextitem: Any) -> None:
    """Forget compiled programs when there are many; they are read again from the disk."""
    del item, nextitem
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MANY:
        import equinox
        import jax

        equinox.clear_caches()
        jax.clear_caches()
        gc.collect()
