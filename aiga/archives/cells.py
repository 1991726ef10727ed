"""Go-Explore's archive: per cell the best way there, and a state to go on from.

Ecoffet et al. (2019), https://arxiv.org/abs/1901.10995, section 2.1; (2021), https://arxiv.org/abs/2004.12919.

A plain value on the host: columns of numpy arrays with spare rows, doubled when full.  `add` leaves its archive as it
was and returns another.  Snapshots are compressed against the snapshot of the reset, which they resemble: an emulator
state of 7.8 kB takes about 0.3 kB.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from aiga.archives.visits import Visits

NOBODY = (-1, -1)


class Blobs(NamedTuple):
    """Byte strings of different lengths, one per row; the row width grows with the longest."""

    data: UInt8[np.ndarray, "n w"]
    length: Int[np.ndarray, " n"]

    @staticmethod
    def empty(capacity: int) -> "Blobs":
        return Blobs(np.zeros((capacity, 0), np.uint8), np.zeros(capacity, np.int32))

    def put(self, rows: Int[np.ndarray, " m"], blobs: Sequence[bytes], capacity: int) -> "Blobs":
        """A copy of `capacity` rows with `blobs` in `rows`."""
        old, width = self.data.shape
        longest = max(map(len, blobs), default=0)
        if longest > width:
            width = longest + longest // 8
        data = np.zeros((capacity, width), np.uint8)
        data[:old, : self.data.shape[1]] = self.data
        length = _roomy(self.length, capacity)
        for row, blob in zip(rows.tolist(), blobs, strict=True):
            data[row, : len(blob)] = np.frombuffer(blob, np.uint8)
            length[row] = len(blob)
        return Blobs(data, length)

    def get(self, row: int) -> bytes:
        return self.data[row, : self.length[row]].tobytes()


class Trajectories(NamedTuple):
    """Action sequences as a tree of segments: a segment goes on from a moment of an earlier one.

    Append-only: an elite that is replaced stays the past of those who started from it.
    """

    size: Int[np.ndarray, ""]
    parent: Int[np.ndarray, "n 2"]
    """Segment and the number of its actions that were taken before; (-1, 0): from the reset."""
    start: Int[np.ndarray, " n"]
    """Where its actions begin."""
    used: Int[np.ndarray, ""]
    actions: UInt8[np.ndarray, " a"]

    @staticmethod
    def empty() -> "Trajectories":
        zero, row = np.zeros((), np.int64), np.zeros(1024, np.int64)
        return Trajectories(zero, np.zeros((1024, 2), np.int32), row, zero, np.zeros(1024, np.uint8))

    def append(self, parents: Int[np.ndarray, "m 2"], actions: Sequence[UInt8[np.ndarray, " _"]]) -> "Trajectories":
        """A copy with one more segment per parent."""
        count, size, used = len(actions), int(self.size), int(self.used)
        lengths = np.array([len(a) for a in actions], np.int64)
        parent, start = (_roomy(column, size + count) for column in (self.parent, self.start))
        parent[size : size + count] = parents
        start[size : size + count] = used + np.cumsum(lengths) - lengths
        stored = _roomy(self.actions, used + int(lengths.sum()))
        stored[used : used + int(lengths.sum())] = np.concatenate([*actions, np.zeros(0, np.uint8)])
        return Trajectories(np.array(size + count), parent, start, np.array(used + int(lengths.sum())), stored)

    def rebuild(self, segment: int, offset: int) -> UInt8[np.ndarray, " t"]:
        """All actions from the reset to `offset` actions into `segment`."""
        parts = []
        while segment >= 0:
            start = self.start[segment]
            parts.append(self.actions[start : start + offset])
            segment, offset = self.parent[segment]
        return np.concatenate([np.zeros(0, np.uint8), *reversed(parts)])


class Starts(NamedTuple):
    """The elites that a batch of rollouts started from, as they were when they were chosen.

    By the time a rollout is added its cell may hold another elite, with another score: never look that one up.
    """

    row: Int[np.ndarray, " b"]
    score: Float[np.ndarray, " b"]
    length: Int[np.ndarray, " b"]
    moment: Int[np.ndarray, "b 2"]
    id: Int[np.ndarray, "b 2"]


class Found(NamedTuple):
    """What a batch of rollouts found, one row per rollout and distinct cell, in order of submission."""

    rollout: Int[np.ndarray, " m"]
    keys: UInt8[np.ndarray, "m k"]
    gains: Float[np.ndarray, " m"]
    steps: Int[np.ndarray, " m"]
    places: Int[np.ndarray, " m"]
    snapshots: Sequence[bytes]
    """Empty for what cannot win."""
    frames: Sequence[bytes]
    """No items if pictures are not kept."""


class Added(NamedTuple):
    """What became of the candidates that won their cell, in order of submission."""

    candidate: Int[np.ndarray, " w"]
    row: Int[np.ndarray, " w"]
    status: Int[np.ndarray, " w"]
    """1 improved, 2 new."""
    replaced: Int[np.ndarray, "w 2"]


class Cells(NamedTuple):
    """The archive.  Rows from `size` on are spare."""

    size: Int[np.ndarray, ""]
    origin: UInt8[np.ndarray, " s"]
    """The snapshot of the reset; the dictionary of the compression."""
    keys: UInt8[np.ndarray, "n k"]
    order: Int[np.ndarray, " n"]
    """The first `size` entries: all rows in ascending order of their keys."""
    score: Float[np.ndarray, " n"]
    length: Int[np.ndarray, " n"]
    moment: Int[np.ndarray, "n 2"]
    """Segment and offset in `trajectories`."""
    seen: Int[np.ndarray, " n"]
    """Rollouts that passed through."""
    chosen: Int[np.ndarray, " n"]
    """Rollouts that started here."""
    chosen_since_new: Int[np.ndarray, " n"]
    """Of these, those since one found a new cell."""
    place: Int[np.ndarray, " n"]
    id: Int[np.ndarray, "n 2"]
    parent: Int[np.ndarray, "n 2"]
    snapshots: Blobs
    frames: Blobs
    trajectories: Trajectories

    @staticmethod
    def empty(origin: bytes, width: int, capacity: int = 1024) -> "Cells":
        """An archive for keys of `width` bytes."""
        count, pair = np.zeros(capacity, np.int32), np.zeros((capacity, 2), np.int32)
        return Cells(
            np.zeros((), np.int64), np.frombuffer(origin, np.uint8), np.zeros((capacity, width), np.uint8), count,
            np.zeros(capacity), count, pair, count, count, count, count, pair, pair, Blobs.empty(capacity),
            Blobs.empty(capacity), Trajectories.empty(),
        )  # fmt: skip

    def find(self, keys: UInt8[np.ndarray, "m k"]) -> Int[np.ndarray, " m"]:
        """The row of each key, or -1."""
        order = self.order[: self.size]
        if len(order) == 0:
            return np.full(len(keys), -1)
        wanted, stored = _comparable(keys), _comparable(self.keys[: self.size])
        row = order[np.minimum(np.searchsorted(stored, wanted, sorter=order), len(order) - 1)]
        return np.where(stored[row] == wanted, row, -1)

    def at(self, rows: Int[np.ndarray, " b"]) -> Starts:
        """Copies of the rows, to start rollouts from."""
        return Starts(rows, self.score[rows], self.length[rows], self.moment[rows], self.id[rows])

    def snapshot(self, row: int) -> bytes:
        return unpack(self.snapshots.get(row), self.origin.tobytes())

    @property
    def foremost(self) -> int:
        """The row with the best score, the shortest of several."""
        return int(np.lexsort((self.length[: self.size], -self.score[: self.size]))[0])

    def births(self, added: Added) -> dict[str, np.ndarray]:
        """The fields of a `Born` event for the winners, but for the operator."""
        row = added.row
        fields = {"id": self.id[row], "parents": self.parent[row][:, None], "kept": added.status, "cell": row}
        return {**fields, "fitness": self.score[row], "replaced": added.replaced}

    def actions(self, row: int) -> UInt8[np.ndarray, " t"]:
        """All actions from the reset to the elite."""
        return self.trajectories.rebuild(*self.moment[row].tolist())

    def add(
        self,
        found: Found,
        starts: Starts,
        actions: Sequence[UInt8[np.ndarray, " _"]],
        birth: int,
        *,
        reset_counts: bool = False,
    ) -> tuple["Cells", Added]:
        """The archive after a batch of rollouts that took `actions` from `starts`, merged in order of submission.

        A candidate wins a cell that is new, or whose elite has a lower score, or the same score after more actions.
        `seen` grows once per rollout and cell, `chosen` once per rollout; `reset_counts`: the counts of a cell whose
        elite is replaced begin again at zero.
        """
        score = starts.score[found.rollout] + found.gains
        length = starts.length[found.rollout] + found.steps
        cells, cell = np.unique(_comparable(found.keys), return_inverse=True)
        best = np.lexsort((length, -score, cell))[np.searchsorted(np.sort(cell), np.arange(len(cells)))]
        row = self.find(found.keys[best])
        better = (row < 0) | (score[best] > self.score[row])
        better |= (score[best] == self.score[row]) & (length[best] < self.length[row])
        winners = np.sort(best[better])
        row[better], size = self._place(row[better], best[better], winners)
        added = self._outcome(winners, row[cell[winners]])
        moment, trajectories = self._remember(found, starts, actions, winners)
        archive = self._roomy(size)._write(found, added, size, birth, starts)
        archive.score[added.row], archive.length[added.row] = score[winners], length[winners]
        archive.moment[added.row] = moment
        archive = archive._count(row[cell], starts.row, found.rollout[winners[added.status == 2]])
        if reset_counts:
            for column in (archive.seen, archive.chosen, archive.chosen_since_new):
                column[added.row[added.status == 1]] = 0
        return archive._replace(trajectories=trajectories), added

    def _place(self, row: np.ndarray, best: np.ndarray, winners: np.ndarray) -> tuple[np.ndarray, int]:
        """Fresh rows for the new cells, in order of submission."""
        fresh = np.isin(winners, best[row < 0])
        number = int(self.size) + np.cumsum(fresh) - 1
        return np.where(row < 0, number[np.searchsorted(winners, best)], row), int(self.size) + int(fresh.sum())

    def _outcome(self, winners: np.ndarray, rows: np.ndarray) -> Added:
        known = rows < self.size
        replaced = np.where(known[:, None], self.id[np.minimum(rows, len(self.id) - 1)], NOBODY)
        return Added(winners, rows, np.where(known, 1, 2), replaced)

    def _remember(
        self, found: Found, starts: Starts, actions: Sequence[UInt8[np.ndarray, " _"]], winners: np.ndarray
    ) -> tuple[Int[np.ndarray, "w 2"], Trajectories]:
        """A segment per rollout with a winner, as long as its last winner needs."""
        rollouts, segment = np.unique(found.rollout[winners], return_inverse=True)
        needed = np.zeros(len(rollouts), np.int64)
        np.maximum.at(needed, segment, found.steps[winners])
        parts = [actions[r][:n] for r, n in zip(rollouts.tolist(), needed.tolist(), strict=True)]
        moment = np.stack([int(self.trajectories.size) + segment, found.steps[winners]], axis=1)
        return moment, self.trajectories.append(starts.moment[rollouts], parts)

    def _roomy(self, size: int) -> "Cells":
        """Copies of the plain columns, with at least `size` rows."""
        return self._replace(**{name: _roomy(getattr(self, name), size) for name in _COLUMNS})

    def _write(self, found: Found, added: Added, size: int, birth: int, starts: Starts) -> "Cells":
        """Fill the rows of the winners, in place."""
        row, candidate = added.row, added.candidate
        self.keys[row], self.place[row] = found.keys[candidate], found.places[candidate]
        self.id[row] = np.stack([np.full_like(candidate, birth), candidate], axis=1)
        self.parent[row] = starts.id[found.rollout[candidate]]
        origin, capacity = self.origin.tobytes(), len(self.keys)
        snapshots = self.snapshots.put(row, [pack(found.snapshots[c], origin) for c in candidate.tolist()], capacity)
        frames = self.frames
        if len(found.frames):
            frames = frames.put(row, [pack(found.frames[c], b"") for c in candidate.tolist()], capacity)
        fresh = row[added.status == 2]
        fresh = fresh[np.argsort(_comparable(self.keys[fresh]))]
        old, stored = self.order[: self.size], _comparable(self.keys)
        self.order[:size] = np.insert(old, np.searchsorted(stored[: self.size], stored[fresh], sorter=old), fresh)
        return self._replace(size=np.array(size), snapshots=snapshots, frames=frames)

    def _count(self, seen: np.ndarray, chosen: np.ndarray, inventive: np.ndarray) -> "Cells":
        """Count visits and choices; `inventive` rollouts found a new cell."""
        visited = {"seen": seen, "chosen": chosen, "chosen_since_new": chosen}
        counts = {name: Visits(getattr(self, name)).visit(rows)[0].counts for name, rows in visited.items()}
        counts["chosen_since_new"][chosen[inventive]] = 0
        return self._replace(**counts)


_COLUMNS = (
    "keys", "order", "score", "length", "moment", "seen", "chosen", "chosen_since_new", "place", "id", "parent",
)  # fmt: skip


def rooted(origin: bytes, key: bytes, place: int = -1, frame: bytes = b"") -> Cells:
    """An archive that holds the reset alone."""
    nowhere = Starts(np.zeros(1, int), np.zeros(1), np.zeros(1, int), np.array([[-1, 0]]), np.array([NOBODY]))
    keys = np.frombuffer(key, np.uint8)[None]
    zero, frames = np.zeros(1, int), [frame] if frame else []
    found = Found(zero, keys, np.zeros(1), zero, np.array([place]), [origin], frames)
    archive, _ = Cells.empty(origin, len(key)).add(found, nowhere, [np.zeros(0, np.uint8)], birth=0)
    return archive._replace(chosen=np.zeros_like(archive.chosen))


def pack(blob: bytes, dictionary: bytes) -> bytes:
    """Compress what resembles `dictionary`."""
    squeeze = zlib.compressobj(1, zdict=dictionary)
    return squeeze.compress(blob) + squeeze.flush()


def unpack(packed: bytes, dictionary: bytes) -> bytes:
    """Undo `pack`."""
    return zlib.decompressobj(zdict=dictionary).decompress(packed)


def rebin(cells: Cells, key: Callable[[bytes], bytes]) -> Cells:
    """Sort all elites into other cells by their pictures; of those that meet, the best score, then the shortest, stays.

    Counts go with the elite that stays.
    """
    size = int(cells.size)
    keys = np.frombuffer(b"".join(key(unpack(cells.frames.get(row), b"")) for row in range(size)), np.uint8)
    keys = keys.reshape(size, -1)
    _, cell = np.unique(_comparable(keys), return_inverse=True)
    ranked = np.lexsort((np.arange(size), cells.length[:size], -cells.score[:size], cell))
    kept = np.sort(ranked[np.unique(cell[ranked], return_index=True)[1]])
    columns = {name: getattr(cells, name)[kept] for name in _COLUMNS if name not in ("keys", "order")}
    blobs = {name: Blobs(*(x[kept] for x in getattr(cells, name))) for name in ("snapshots", "frames")}
    order = np.argsort(_comparable(keys[kept]), kind="stable").astype(np.int32)
    return cells._replace(size=np.array(len(kept)), keys=keys[kept], order=order, **columns, **blobs)


def _comparable(keys: UInt8[np.ndarray, "m k"]) -> np.ndarray:
    """The rows as byte strings, which numpy can sort and search."""
    return np.ascontiguousarray(keys).view(f"S{keys.shape[1]}").ravel()


def _roomy(column: np.ndarray, rows: int) -> np.ndarray:
    """A copy whose capacity has been doubled until it holds `rows`."""
    capacity = max(len(column), 1)
    while capacity < rows:
        capacity *= 2
    copy = np.zeros((capacity, *column.shape[1:]), column.dtype)
    copy[: len(column)] = column
    return copy


def often_seen(cells: Cells, most: int) -> dict[bytes, tuple[float, int]]:
    """Score and length of the cells that most rollouts passed through, by their keys."""
    rows = np.argsort(-cells.seen[: cells.size], kind="stable")[:most]
    elites = zip(cells.score[rows].tolist(), cells.length[rows].tolist(), strict=True)
    return {key.tobytes(): elite for key, elite in zip(cells.keys[rows], elites, strict=True)}


def nature_weights(cells: Cells, domain: bool = False) -> Float[np.ndarray, " n"]:
    """How eagerly to return to each cell: 1 / sqrt(seen + 1).

    Ecoffet et al. (2021), https://arxiv.org/abs/2004.12919, Methods; `domain`: plus 1 where nobody carried more, 0.1
    per unknown horizontal neighbour, and a tenth of all this per level below the highest.
    """
    weights = 1.0 / np.sqrt(cells.seen[: cells.size] + 1.0)
    return _with_domain(cells, weights, carried=1.0, horizontal=0.1, vertical=0.0) if domain else weights


def v1_weights(cells: Cells, domain: bool = False) -> Float[np.ndarray, " n"]:
    """How eagerly to return to each cell: rarely seen and rarely chosen ones.

    Ecoffet et al. (2019), https://arxiv.org/abs/1901.10995, section 2.1.3 with the authors' settings; `domain`: with
    their weights for unknown neighbours, for carrying the most, and for levels.
    """
    weights = np.zeros(int(cells.size))
    for count, weight, power in ((cells.seen, 3.0, 0.5), (cells.chosen, 0.1, 0.5), (cells.chosen_since_new, 0.0, 1.0)):
        weights += weight * (1.0 / (count[: cells.size] + 0.001)) ** power + 0.00001
    return _with_domain(cells, weights, carried=10.0, horizontal=0.3, vertical=0.1) if domain else weights


def _with_domain(
    cells: Cells, weights: np.ndarray, *, carried: float, horizontal: float, vertical: float
) -> Float[np.ndarray, " n"]:
    """Add what keys of (level, room, x, y, things carried as bits) tell."""
    keys = cells.keys[: cells.size]
    _, where = np.unique(_comparable(keys[:, :4]), return_inverse=True)
    amount = np.bitwise_count(keys[:, 4:]).sum(1)
    most = np.zeros(where.max() + 1, amount.dtype)
    np.maximum.at(most, where, amount)
    weights = weights + carried * (amount == most[where])
    for axis, weight in ((2, horizontal), (3, vertical)):
        for step in (-1, 1) if weight else ():
            neighbour = keys.copy()
            neighbour[:, axis] += np.uint8(step % 256)  # at the rim it wraps around, to a cell nobody can be in
            weights += weight * (cells.find(neighbour) < 0)
    level = keys[:, 0].astype(float)
    return weights * 0.1 ** (level.max() - level)
