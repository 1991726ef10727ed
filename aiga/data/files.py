"""Files of data sets: found in the folder that AIGA_DATA names, and checked when they are read.

Nothing is downloaded, and nothing is unpickled: a pickle can run programs.  A damaged file is one sentence.
"""

import gzip
import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from aiga.core.errors import UsageError

DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, zlib.error, zipfile.BadZipFile)
BYTES = 0x08
"""What the third byte of an IDX file says where its numbers are bytes."""


def place(name: str) -> Path:
    """Where a file of data would be."""
    return Path(os.environ.get("AIGA_DATA", "")) / name


def located(*names: str) -> tuple[Path, ...] | None:
    """Files that belong together, each as it is or with `.gz` after its name; None if there is none of them."""
    if not os.environ.get("AIGA_DATA"):
        return None
    plain = [place(name) for name in names]
    packed = [path.with_name(path.name + ".gz") for path in plain]
    paths = [path if path.exists() or not gz.exists() else gz for path, gz in zip(plain, packed, strict=True)]
    missing = [path.name for path in paths if not path.exists()]
    if len(missing) == len(paths):
        return None
    if missing:
        raise UsageError(f"{paths[0].parent} lacks {', '.join(missing)}: put all of {', '.join(names)} there, or none.")
    return tuple(paths)


def content(path: Path) -> bytes:
    """What a file holds, unpacked if it ends with `.gz`."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except DAMAGE as error:
        raise damaged(path, f"cannot be read ({error})") from error


def arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an `.npz` file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return [data[name] for name in names]
    except DAMAGE as error:
        raise damaged(path, f"is no whole .npz file with the arrays {', '.join(names)} ({error})") from error


def idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Bytes in as many dimensions, in the format of MNIST's own files."""
    data = content(path)
    start = 4 + 4 * dimensions
    if data[:4] != bytes((0, 0, BYTES, dimensions)) or len(data) < start:
        raise damaged(path, f"does not begin as an IDX file of bytes in {dimensions} dimensions does")
    shape = [int(n) for n in np.frombuffer(data[4:start], ">u4")]
    if len(data) - start != math.prod(shape):
        raise damaged(path, f"has {len(data) - start} bytes for {' x '.join(map(str, shape))} numbers")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def damaged(path: Path, fault: str) -> UsageError:
    """Says what is wrong with a file, and what to do."""
    return UsageError(f"{path} {fault}: get it again, or take it out of the folder that AIGA_DATA names.")
