"""Who is modified next, where that is left to this program."""

import math
import random

STEEPNESS = 10.0


def choose(task):
    """The place in `task["archive"]` of the agent to modify next.

    Each entry of the archive is a dict: "score" from 0 to 1, and "children", how many agents were made from it.
    `task["seed"]` is for what is left to chance.
    """
    archive = task["archive"]
    best = sorted((entry["score"] for entry in archive), reverse=True)[:3]
    middle = sum(best) / len(best)
    weights = [weight(entry, middle) for entry in archive]
    return random.Random(task["seed"]).choices(range(len(archive)), weights)[0]


def weight(entry, middle):
    """How likely an agent is to be chosen: a good one, and one with few children."""
    return 1 / (1 + math.exp(-STEEPNESS * (entry["score"] - middle))) / (1 + entry["children"])
