"""Vectors of texts: by a provider's model, or by hashing words, which needs nothing and knows nothing of meaning."""

import base64
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import UsageError
from aiga.fm import cache, places, providers
from aiga.fm.attempts import Attempts, Meter, Question
from aiga.fm.cache import Calls
from aiga.fm.messages import Usage
from aiga.fm.places import Place
from aiga.fm.providers import Failure

BATCH = 64
"""Texts of one request."""
CHARACTERS_A_TOKEN = 3


class Local:
    """Texts by the words and the groups of letters in them, hashed: equal words, near vectors; nothing of meaning."""

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = dimensions
        self.name = f"local-hash-{dimensions}"
        self._hashes: Any = None

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Half of the dimensions for words, half for groups of three to five letters."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        if self._hashes is None:
            from sklearn.feature_extraction.text import HashingVectorizer

            words, letters = self.dimensions - self.dimensions // 2, self.dimensions // 2
            self._hashes = (
                HashingVectorizer(n_features=words, ngram_range=(1, 2)),
                HashingVectorizer(n_features=letters, analyzer="char_wb", ngram_range=(3, 5)),
            )
        return unit(np.concatenate([hashed.transform(texts).toarray() for hashed in self._hashes], axis=1))


def local(dimensions: int = 256) -> Local:
    """An embedder that needs no provider: `local-hash-256`."""
    return Local(dimensions)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one; a row of zeros, such as that of an empty text, becomes the first axis."""
    vectors = np.array(vectors, np.float32)
    vectors[~vectors.any(axis=1), 0] = 1.0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Vectors(NamedTuple):
    """What a request for vectors brought."""

    rows: np.ndarray
    usage: Usage
    cost: float


class Remote:
    """An `Embedder` that asks a provider, 64 texts at a time; the same texts together are asked for once."""

    def __init__(self, attempts: Attempts, where: Place | None) -> None:
        self.attempts, self.where = attempts, where

    @property
    def name(self) -> str:
        return self.attempts.name

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length one.

        Raises:
            ModelFailed: No usable vectors came.
        """
        batches = [tuple(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        rows = [await self._batch(batch) for batch in batches]
        return unit(np.concatenate(rows)) if rows else np.zeros((0, 0), np.float32)

    async def _batch(self, texts: tuple[str, ...]) -> np.ndarray:
        written = json.dumps({"model": self.name.rpartition("#")[2], "embed": texts})
        worst = Usage(len(written) // CHARACTERS_A_TOKEN)

        async def send(model: Any) -> Vectors:
            assert self.where is not None
            return Vectors(*await providers.embed(model, self.where, texts))

        usd = self.where and providers.price(self.where, worst)
        question = Question(written, worst.tokens_in, usd, send, _written, _fault)
        answer = await self.attempts.answer(cache.key(written), "embed", question)
        return _read(answer) if isinstance(answer, str) else answer.rows


def connect(
    name: str,
    *,
    calls: Calls | None = None,
    meter: Meter | None = None,
    replay: bool = False,
    concurrency: int = 16,
    timeout: float | int = 120.0,
    say: Callable[[str], None] | None = None,
    retries: int = 5,
    backoff: float | int = 1.0,
) -> Remote:
    """A provider's embeddings, such as `openai:text-embedding-3-small`; names and options as of a model."""
    where = None if replay else places.place(name)
    if where is not None and where.provider == "anthropic":
        raise UsageError(
            f"`{name}`: anthropic has no embeddings; give an openai:, google:, ollama: or http:// model, or none: "
            "then texts are embedded locally."
        )

    def opened() -> AsyncGenerator[Any, None]:
        assert where is not None, "a replay asks no model"
        return providers.opened_embedding(where, timeout)

    attempts = Attempts(
        name,
        opened,
        calls=calls,
        meter=meter,
        replay=replay,
        concurrency=concurrency,
        timeout=timeout,
        say=say,
        retries=retries,
        backoff=backoff,
    )
    return Remote(attempts, where)


def _fault(answer: Vectors) -> Failure | None:
    if answer.rows.shape[1] and np.isfinite(answer.rows).all():
        return None
    return Failure("malformed", "the vectors are empty or hold values that are no numbers")


def _written(answer: Vectors) -> str:
    data = base64.b64encode(np.ascontiguousarray(answer.rows, "<f4").tobytes()).decode()
    return json.dumps({"vectors": data, "dimensions": answer.rows.shape[1]})


def _read(text: str) -> np.ndarray:
    fields = json.loads(text)
    data = np.frombuffer(base64.b64decode(fields["vectors"]), "<f4")
    return data.reshape(-1, fields["dimensions"]).astype(np.float32)
