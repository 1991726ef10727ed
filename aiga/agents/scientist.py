"""A scientist that invents task families: what a model is told, and a grammar in its place.

Without a model, the scientist is a grammar (`aiga.data.recipes`) that varies the recipe of the parent family and, of a
few such drafts, submits the one of which the least is in what it was shown.  It proposes; it knows nothing.
"""

from dataclasses import asdict, dataclass
from json import dumps
from random import Random
from typing import NamedTuple

from aiga.agents.families import Broken
from aiga.data import recipes
from aiga.data.findings import Finding
from aiga.data.recipes import Recipe, recipe_of
from aiga.fm.messages import Message

DRAFTS = 16
"""Of the grammar, for one proposal."""
LEAPS = 0.15
"""How often a draft of the grammar has nothing to do with the parent."""


@dataclass(frozen=True)
class Proposal:
    """What a scientist replies."""

    name: str
    description: str
    capability: str
    difficulty: int
    done: bool
    program: str


class Invitation(NamedTuple):
    """What a scientist is shown."""

    parent: Finding | None = None
    context: tuple[Finding, ...] = ()


def opening(invitation: Invitation) -> list[Message]:
    """The beginning of a conversation with the scientist."""
    if invitation.parent is None:
        return [Message("system", SYSTEM), Message("user", ALONE)]
    parent = f"{invitation.parent.summary}\n\n```python\n{invitation.parent.program}\n```"
    others = "\n\n".join(finding.summary for finding in invitation.context)
    return [Message("system", SYSTEM), Message("user", SHOWN.format(parent=parent, others=others))]


def answer_to(proposal: Proposal, outcome: Finding | Broken) -> list[Message]:
    """The next turns of the conversation: what was proposed, and what came of it."""
    if isinstance(outcome, Broken):
        said = f"It cannot be used ({outcome.kind}):\n{outcome.reason}\nMend it."
    else:
        tries = "\n\n".join(
            f"Task {e.task}: {e.instructions}\nSubmission: {e.submission}\nScore: {e.score:g}" for e in outcome.examples
        )
        said = (
            f"It runs. This is what the subject answered:\n\n{tries}\n\nImprove it, or send it again with `done` true."
        )
    return [Message("assistant", dumps(asdict(proposal))), Message("user", said)]


def proposed(recipe: Recipe, random: Random) -> Proposal:
    """The family of a recipe."""
    return Proposal(
        name=recipes.name(recipe),
        description=recipes.description(recipe),
        capability=f"{', '.join(recipe.steps)}: {recipe.kind}",
        difficulty=recipe.difficulty,
        done=True,
        program=recipes.program(recipe, random),
    )


def uniform(random: Random) -> Proposal:
    """A random family of the grammar: the control without a scientist."""
    return proposed(recipes.uniform(random), random)


def propose(random: Random, invitation: Invitation) -> Proposal:
    """For `Offline`: the grammar's proposal."""
    parent = recipe_of(invitation.parent.program) if invitation.parent else None
    if parent is None:
        return proposed(recipes.typical(random), random)
    shown = [recipe_of(finding.program) for finding in invitation.context]
    known = frozenset().union(*(recipes.content(recipe) for recipe in [parent, *shown] if recipe))
    drafts = [_draft(random, parent) for _ in range(DRAFTS)]
    return proposed(max(drafts, key=lambda draft: len(recipes.content(draft) - known)), random)


def _draft(random: Random, parent: Recipe) -> Recipe:
    if random.random() < LEAPS:
        return recipes.typical(random)
    for _ in range(random.choice((1, 1, 2, 3))):
        parent = recipes.varied(random, parent)
    return parent


SYSTEM = """\
You are a scientist who finds out what a language model, the subject, can do and where it fails. You invent families of
tasks. A family is one Python program, standard library only, with three functions:

get_tasks() returns a dict of two to four tasks: from a name, "1", "2", ..., to data that JSON can hold;
get_instructions(task) returns the whole text that the subject is given for one task's data;
score(task, submission) returns 1.0 if the text `submission` solves the task, else 0.0.

The subject sees its instructions alone: no code, no tool, no file, no second turn. Decide by computing wherever that
can be done. Where it cannot, score may call judge(instructions, submission, criterion), which is there already and
returns True or False; a criterion is one sentence that a careful reader can check. Never accept an empty or evasive
submission. The program runs without a network, in seconds, and may be started several times.

Reply with: name (a few words joined by underscores), description (one sentence), capability (what is measured),
difficulty (for people, 1 very easy to 5 very difficult), program, and done. Leave done false until you have seen your
program run and are content with what it measures."""
SHOWN = """\
A family on which the subject succeeded, to build on:

{parent}

Other families that were tried, with their outcomes:

{others}

Propose a family unlike all of these, whose outcome would teach something new about the subject: an ability nobody
would expect, a failure nobody would expect, or how far a known ability reaches."""
ALONE = "Propose a family of tasks that teaches something about the subject."
