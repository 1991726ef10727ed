"""What a run asks of the world outside (models, programs in the sandbox), and what keeps the answers.

Everything that was answered is kept in the run's directory as soon as it is known, so a resumed run asks nobody twice.
Texts too are kept there, and the order in which answers came.
"""

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import UsageError
from aiga.core.texts import Name, digest, hexadecimal
from aiga.fm.cache import Call
from aiga.fm.messages import FM, Embedder
from aiga.runs.programs import KeptSandbox, Refusing, key_of
from aiga.runs.record import Run
from aiga.runs.store import Store, connect_to_read
from aiga.safety.approval import Approval, Auto, Decision, Proposed
from aiga.safety.budget import Budget, Caps
from aiga.sandbox.protocol import Sandbox

CALL = f"SELECT {', '.join(Call._fields)} FROM calls"
USERS = {"fm": "--fm", "embedder": "--embedder", "sandbox": "--unsafe-no-sandbox", "approval": "--approve"}
"""Resources that a system may not ask for, and the option that would be in vain."""

GATES = ("auto", "rules", "person", "files")
"""Who allows what agents wrote."""


class Asked(NamedTuple):
    """What the user said about the world outside."""

    fm: str = "offline"
    embedder: str = "local"
    budget: float | None = None
    budget_tokens: int | None = None
    budget_calls: int | None = None
    budget_evaluations: int | None = None
    unsafe_no_sandbox: bool = False
    approve: str = "auto"

    def check(self, system: str, wanted: Collection[str]) -> None:
        """Refuse what the system has no use for, and budgets that are none."""
        usual = Asked()
        for resource, given, default in (
            ("fm", self.fm, usual.fm),
            ("embedder", self.embedder, usual.embedder),
            ("sandbox", self.unsafe_no_sandbox, False),
            ("approval", self.approve, usual.approve),
        ):
            if given != default and resource not in wanted:
                raise UsageError(f"{system} has no use for {USERS[resource]}: leave it out.")
        for name in ("budget", "budget_tokens", "budget_calls", "budget_evaluations"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} is {value!r}: give a number above zero.")
        if self.approve not in GATES and not self.approve.startswith("rules:"):
            raise UsageError(f"--approve is {self.approve!r}: give one of {', '.join(GATES)}, rules:FILE.")

    @property
    def caps(self) -> Caps:
        return Caps(self.budget, self.budget_tokens, self.budget_calls, self.budget_evaluations)


class Outside:
    """The world outside as one run sees it: the resources of its system, bound to its directory by `attach`."""

    def __init__(self, asked: Asked, wanted: Collection[str], before: Run | None = None) -> None:
        self.store: Store | None = None
        self.say: Callable[[str], None] = lambda text: None
        self.stopped: Callable[[], bool] = lambda: False
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.model: str | None = None
        self.level: str | None = None
        self.budget = Budget(asked.caps, spent=spent(before))
        self._asked, self._texts = asked, KeptTexts()
        self._source = replayed(asked.fm)
        makers = {
            "fm": self._model,
            "embedder": self._embedder,
            "sandbox": self._sandbox,
            "texts": lambda: self._texts,
            "budget": lambda: self.budget,
            "journal": lambda: Journal(self),
            "finished": lambda: KeptFinished(self),
            "approval": self._approval,
        }
        self.resources = {name: make() for name, make in makers.items() if name in wanted}

    def attach(self, store: Store) -> None:
        """Keep everything in `store` from now on."""
        self.store = store
        self._texts.attach(store)
        store.note(approve=self._asked.approve)

    def approvals(self) -> Path:
        """Where proposals are written for a person, and the answers."""
        assert self.store is not None, "a person is asked by a run"
        return self.store.directory / "approvals"

    async def settle(self) -> None:
        """Wait for what is under way: it is paid for, and its answer is kept for the run's next steps."""
        held = self.budget.reserved
        if held.calls or held.evaluations:
            self.say("waiting for what is under way")
        await self.budget.settle()

    def look_up(self, query: str, key: str) -> tuple[Any, ...] | None:
        """What was kept under a key: of this run, else of the one that it gives again."""
        row = None if self.store is None else self.store.look_up(query, key)
        if row is None and self._source is not None:
            with closing(connect_to_read(self._source.directory)) as database:
                row = database.execute(query, (key,)).fetchone()
        return row

    def _model(self) -> FM | None:
        if self._asked.fm == "offline":
            return None
        name = self._asked.fm
        if self._source is not None:
            name = self._source.manifest["outside"]["fm"]
        self.model = name if self._source is None else f"{name}, replayed from {self._source.directory}"
        from aiga.fm import client

        return client.connect(name, **self._told())

    def _embedder(self) -> Embedder:
        from aiga.fm import embed

        name = self._asked.embedder
        return embed.local() if name == "local" else embed.connect(name, **self._told())

    def _told(self) -> dict[str, Any]:
        """What a client is given besides its name; a replay asks nobody, neither for words nor for vectors."""
        calls, replay = KeptCalls(self), self._source is not None
        return {"calls": calls, "meter": self.budget, "replay": replay, "say": lambda text: self.say(text)}

    def _sandbox(self) -> Sandbox:
        from aiga.sandbox import ladder

        if self._asked.unsafe_no_sandbox:
            self.level = "none (--unsafe-no-sandbox)"
            return KeptSandbox(ladder.unsafe(), self)
        try:
            sandbox = ladder.best()
        except UsageError as error:  # matters only if a program comes
            return Refusing(error)
        self.level = sandbox.level
        return KeptSandbox(sandbox, self)

    def _approval(self) -> Approval:
        kind, _, place = self._asked.approve.partition(":")
        if kind == "auto":
            return KeptApproval(Auto(), self)
        if kind == "rules":
            from aiga.safety import rules

            stated = rules.read(Path(place)) if place else rules.Rules()
            return KeptApproval(stated, self, repr(stated))
        from aiga.safety.person import Person

        return KeptApproval(Person(self, terminal=kind == "person"), self)


class KeptCalls:
    """The calls of a run, as the model's client keeps and finds them."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def get(self, key: str) -> Call | None:
        row = self._outside.look_up(f"{CALL} WHERE key = ? AND final", key)
        return None if row is None else Call(*row)

    def put(self, call: Call) -> None:
        if self._outside.store is not None:
            self._outside.store.append("calls", tuple(call))


class KeptTexts:
    """Texts in the run's blob store, and in memory."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._store: Store | None = None

    def attach(self, store: Store) -> None:
        self._store = store
        for text in self._texts.values():
            store.put(text.encode())

    def put(self, text: str) -> Name:
        name = digest(text.encode())
        identity = hexadecimal(name)
        if identity not in self._texts:
            self._texts[identity] = text
            if self._store is not None:
                self._store.put(text.encode())
        return name

    def get(self, name: Name) -> str:
        identity = hexadecimal(np.asarray(name))
        if identity not in self._texts:
            assert self._store is not None
            row = self._store.look_up("SELECT data FROM blobs WHERE id = ?", identity)
            assert row is not None, "the state names a text that was never put"
            if hexadecimal(digest(row[0])) != identity:
                where = f"{self._store.directory}/run.sqlite"
                raise UsageError(f"{where} is damaged (blob {identity} has changed): restore a copy of it.")
            self._texts[identity] = row[0].decode()
        return self._texts[identity]


class Journal:
    """Which candidate was told at which step: answers come in the order of the clock, and again in this one."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def get(self, step: int) -> int | None:
        store = self._outside.store
        row = None if store is None else store.look_up("SELECT candidate FROM orders WHERE step = ?", step)
        return None if row is None else row[0]

    def put(self, step: int, candidate: int) -> None:
        if self._outside.store is not None:
            self._outside.store.append("orders", (step, candidate))


class KeptFinished:
    """What agents finished, whose work no other table holds: what they asked models and programs has its own."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def get(self, key: str) -> str | None:
        row = self._outside.look_up("SELECT text FROM finished WHERE key = ?", key)
        return None if row is None else row[0]

    def put(self, key: str, text: str) -> None:
        if self._outside.store is not None:
            self._outside.store.append("finished", (key, text))


class KeptApproval:
    """A gate that decides once about the same change of the same candidate; another gate decides anew."""

    def __init__(self, approval: Approval, outside: Outside, terms: str = "") -> None:
        self._approval, self._terms = approval, terms
        self._finished = KeptFinished(outside)

    @property
    def name(self) -> str:
        return self._approval.name

    async def decide(self, proposed: Proposed) -> Decision:
        key = f"approval {key_of(self.name, self._terms, proposed.name, proposed.changes)}"
        if (kept := self._finished.get(key)) is not None:
            return Decision(**json.loads(kept))
        decision = await self._approval.decide(proposed)
        self._finished.put(key, json.dumps(decision._asdict()))
        return decision


def replayed(name: str) -> Run | None:
    """The run whose answers `replay:DIR` gives again: that of DIR, or the one that it gave again itself."""
    kind, _, place = name.partition(":")
    if kind != "replay":
        return None
    run = Run(Path(place).resolve())
    before = run.manifest.get("outside", {}).get("fm", "offline")
    if before == "offline":
        raise UsageError(f"{place} was made without a model: give the directory of a run that used one.")
    return replayed(before) or run


def spent(run: Run | None) -> Caps:
    """What a run has used of its budget."""
    if run is None:
        return Caps(0.0, 0, 0, 0)
    cost = run.cost()
    return Caps(cost["usd"], int(cost["tokens"]), int(cost["calls"]), run.programs_run())


def export(run: Run, path: Path) -> int:
    """Write every call of a run as JSON lines; how many there were."""
    rows = [json.dumps(call) for call in run.calls()]
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return len(rows)
