"""Calls packed for Ray: what is big travels beside the call, once for all calls that take it."""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

BIG = 100_000
"""Bytes from which on an argument travels beside the call."""
KEPT = 64
"""Big arguments that are remembered."""


class Parcels:
    """Remembers what was put into the store: by its place in memory if nobody can write there, else by its content."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._stored: OrderedDict[Hashable, tuple[Any, Any]] = OrderedDict()

    def packed(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bytes, list[Any]]:
        """The call, and references to the buffers that belong to it."""
        beside: list[Any] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < BIG:
                return True
            beside.append(self._reference(raw))
            return False

        parts = (fn, tuple(_Bytes(arg) if type(arg) is bytes and len(arg) >= BIG else arg for arg in args))
        try:
            call = pickle.dumps(parts, 5, buffer_callback=keep)
        except Exception:  # a function without a module, such as a lambda
            call = b"__main__"
        if b"__main__" in call:  # an actor has another main module: its things travel by value
            beside.clear()
            call = self._ray.cloudpickle.dumps(parts, 5, buffer_callback=keep)
        return call, beside

    def clear(self) -> None:
        """Forget all."""
        self._stored.clear()

    def _reference(self, raw: memoryview) -> Any:
        whose = raw.obj
        fixed = type(whose) is bytes or (
            isinstance(whose, np.ndarray) and whose.flags.owndata and not whose.flags.writeable
        )
        key: Hashable
        if fixed:
            key = (np.frombuffer(raw, np.uint8).ctypes.data, raw.nbytes)
        else:
            key = hashlib.blake2b(raw, digest_size=20).digest()
        if key not in self._stored:
            self._stored[key] = self._ray.put(pickle.PickleBuffer(raw) if fixed else bytes(raw)), raw if fixed else None
        self._stored.move_to_end(key)
        while len(self._stored) > KEPT:
            self._stored.popitem(last=False)
        return self._stored[key][0]


class _Bytes:
    """Bytes that are pickled beside the call."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __reduce__(self) -> Any:
        return bytes, (pickle.PickleBuffer(self._content),)
