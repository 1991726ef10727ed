"""What is found about a subject: a family of tasks, how it did, and in which words models are told of it."""

import json
from typing import NamedTuple

DIFFICULTIES = ("very easy", "easy", "moderate", "difficult", "very difficult")


class Example(NamedTuple):
    """A task, one submission, and what the family said of it."""

    task: str
    instructions: str
    submission: str
    score: float


class Finding(NamedTuple):
    """What is known of a family after a subject has tried it."""

    name: str
    description: str
    capability: str
    difficulty: int
    """For people as its author thinks, from 1 to 5."""
    program: str
    rate: float
    """Share of the submissions that were solutions."""
    success: bool
    examples: tuple[Example, ...] = ()
    """One of each task."""
    surprising: bool = False

    def dumped(self) -> str:
        """As JSON."""
        return json.dumps({**self._asdict(), "examples": [example._asdict() for example in self.examples]})

    @classmethod
    def parsed(cls, text: str) -> "Finding":
        fields = json.loads(text)
        return cls(**{**fields, "examples": tuple(Example(**example) for example in fields["examples"])})

    @property
    def summary(self) -> str:
        """What models and embeddings go by: all but the program."""
        asked = self.examples[0].instructions if self.examples else "-"
        lines = {
            "Family": self.name,
            "Tasks": self.description,
            "Capability": self.capability,
            "Difficulty for people": DIFFICULTIES[self.difficulty - 1],
            "Example": asked[:1000],
            "Outcome": "the subject succeeded" if self.success else "the subject failed",
        }
        return "\n".join(f"{name}: {value}" for name, value in lines.items())
