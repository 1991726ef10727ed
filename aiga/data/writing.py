"""What a model is asked to write, and what a judge is asked about it: opinions, stories, poems.

The kinds of writing are those of Bradley et al. (2023), https://arxiv.org/abs/2310.13032; questions, openings and
examples are our own.
"""

from typing import NamedTuple


class Axis(NamedTuple):
    """A way in which texts differ: a question, and its one-word answers."""

    name: str
    question: str
    options: tuple[str, ...]
    """Of two, a text's place is the probability of the first; of more, the place of the likeliest."""


class Writing(NamedTuple):
    """One kind of writing."""

    name: str
    opening: str
    """Stands before each example and before what is to be written."""
    examples: tuple[str, str, str]
    quality: str
    """A question whose answer is yes for good texts."""
    axes: tuple[Axis, ...]
    tokens: int
    """The longest continuation in the paper."""

    @property
    def rewritten(self) -> bool:
        """Whether texts are rewritten towards a target and rated, as the paper's poems, not continued and judged."""
        return self.name == "poetry"


GENRE = Axis("genre", "Which genre is this story rather?", ("horror", "romance"))
ENDING = Axis("ending", "How does this story end for those in it?", ("happily", "tragically"))

OPINIONS = Writing(
    "opinions",
    "What one person says about eating vegetables:",
    (
        "I enjoy eating carrots. Because broccoli is delicious, I often cook it. My family likes peas.",
        "I dislike eating spinach. Cabbage tastes awful, and I rarely buy it because the smell stays.",
        "I accept beans on my plate. To me lentils are ordinary. I sometimes eat peas because they are there.",
    ),
    "Does this person say whether they like to eat vegetables, and why, without straying from it?",
    (Axis("sentiment", "What does this person think of eating vegetables?", ("positive", "negative")),),
    50,
)

STORIES = Writing(
    "stories",
    "A short story about a spy and a politician:",
    (
        "The spy followed the senator through the quiet garden. In the fog the minister lost a letter. The agent "
        "waited behind the gate. A gentle song came from the house of the politician. Because the senator was "
        "uncertain, the informer fled. Years later the spy survived.",
        "At midnight the minister found the grave beside the eerie lake. The informer heard the scream too. That rose "
        "was for the senator. The agent failed, and the politician felt bitter. Because of the shadowy rooms nobody "
        "saw the spy. In the end the minister waited.",
        "The agent kept the song because the politician had liked it. One warm night the senator told the spy of the "
        "corpse. The informer escaped with the letter. The minister was hopeful at first. The quiet streets frightened "
        "the agent. In the end the politician survived, calm to the last.",
    ),
    "Is this a good short story about a spy and a politician, one that moves on and repeats nothing?",
    (GENRE, ENDING),
    100,
)

POETRY = Writing(
    "poetry",
    "A poem:",
    (
        "The quiet river wanders at night\nThe golden morning dances in light\nThe silver shadow listens to me",
        "The gentle lover whispers by day\nThe ancient forest listens away\nThe bitter winter trembles at night\n"
        "The merry garden dances in light",
        "The hidden doorway opens at dawn\nThe broken mirror trembles till gone\nThe patient mountain ponders the sea",
    ),
    "How good is this poem, by its sound, its images and its care?",
    (
        Axis("genre", "Which form has this poem?", ("haiku", "sonnet", "ballad", "limerick", "hymn")),
        Axis("tone", "Which tone has this poem?", ("happy", "dark", "mysterious", "romantic", "reflective")),
    ),
    300,
)

WRITINGS = {
    "opinions": OPINIONS,
    "genre": STORIES._replace(axes=(GENRE,)),
    "ending": STORIES._replace(axes=(ENDING,)),
    "stories": STORIES,
    "poetry": POETRY,
}
