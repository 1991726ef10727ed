"""What every test runs under: compiled programs kept between runs, and every random key used once."""

import os
from pathlib import Path

SETTINGS = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parent.parent / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_DEBUG_KEY_REUSE": "1",
}
for name, value in SETTINGS.items():  # before jax is imported; worker processes and subprocesses inherit it
    os.environ.setdefault(name, value)
