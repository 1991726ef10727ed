"""Seven agents to begin with, each a program that a person would write, and what a proposal of another one holds.

The comment `# parts:` sums a program up for the grammar of `aiga.agents.grammar`; to a model it is a comment.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Proposal:
    """An agent as a meta agent describes it."""

    thought: str
    name: str
    code: str
    based_on: str = ""
    """Names of the agents of the archive that it builds on, separated by semicolons."""


CHAIN_OF_THOUGHT = """
# parts: [["draft", 1]]
from broker import ask


def forward(task):
    prompt = task["question"] + "\\nThink step by step, then end with a line `Answer: ` and the answer."
    text = ask({"prompt": prompt, "temperature": 0.3})["texts"][0]
    return text.rpartition("Answer:")[2].strip()
"""

SELF_CONSISTENCY = """
# parts: [["draft", 5]]
from collections import Counter

from broker import ask


def forward(task):
    prompt = task["question"] + "\\nThink step by step, then end with a line `Answer: ` and the answer."
    texts = ask({"prompt": prompt, "temperature": 0.8, "k": 5})["texts"]
    return Counter(text.rpartition("Answer:")[2].strip() for text in texts).most_common(1)[0][0]
"""

REFLEXION = """
# parts: [["draft", 1], ["refine", 3]]
from broker import ask


def forward(task):
    question = task["question"]
    how = "Think step by step, then end with a line `Answer: ` and the answer."
    text = ask({"prompt": f"{question}\\n{how}"})["texts"][0]
    for attempt in range(4):
        criticism = ask({"prompt": f"{question}\\n\\nA solution:\\n{text}\\n\\nCriticise it; do not solve it anew. "
                                   "If there is nothing to improve, say only FINE."})["texts"][0]
        if "FINE" in criticism:
            break
        text = ask({"prompt": f"{question}\\n\\nYour solution so far:\\n{text}\\n\\nWhat was said of it:\\n"
                              f"{criticism}\\n\\nImprove it. {how}"})["texts"][0]
    return text.rpartition("Answer:")[2].strip()
"""

DEBATE = """
# parts: [["panel", 3], ["debate", 1], ["judge", 1]]
from broker import ask

ROLES = [
    "You are a mathematician who trusts nothing but a proof.",
    "You are a teacher who explains every step simply.",
    "You are an engineer who estimates first and computes then.",
]


def forward(task):
    question = task["question"]
    how = "Think step by step, then end with a line `Answer: ` and the answer."
    texts = [ask({"system": role, "prompt": f"{question}\\n{how}"})["texts"][0] for role in ROLES]
    seen = "\\n\\n".join(texts)
    debated = f"{question}\\n\\nWhat the debaters said:\\n{seen}\\n\\nWeigh their arguments. {how}"
    texts = [ask({"system": role, "prompt": debated})["texts"][0] for role in ROLES]
    seen = "\\n\\n".join(texts)
    decide = f"{question}\\n\\nWhat the debaters said last:\\n{seen}\\n\\nDecide who is right. {how}"
    return ask({"prompt": decide, "temperature": 0.1})["texts"][0].rpartition("Answer:")[2].strip()
"""

STEP_BACK = """
# parts: [["principle", 1], ["draft", 1]]
from broker import ask


def forward(task):
    question = task["question"]
    asked = f"{question}\\n\\nDo not solve it yet: which principle is behind this question?"
    principle = ask({"prompt": asked})["texts"][0]
    how = "Think step by step, then end with a line `Answer: ` and the answer."
    text = ask({"prompt": f"{question}\\n\\n{principle}\\n\\n{how}", "temperature": 0.3})["texts"][0]
    return text.rpartition("Answer:")[2].strip()
"""

QUALITY_DIVERSITY = """
# parts: [["different", 4], ["judge", 1]]
from broker import ask


def forward(task):
    question = task["question"]
    how = "Think step by step, then end with a line `Answer: ` and the answer."
    texts = [ask({"prompt": f"{question}\\n{how}"})["texts"][0]]
    for attempt in range(3):
        seen = "\\n\\n".join(texts)
        another = f"{question}\\n\\nTried already:\\n{seen}\\n\\nSolve it in a different way. {how}"
        texts.append(ask({"prompt": another, "temperature": 0.8})["texts"][0])
    seen = "\\n\\n".join(texts)
    decide = f"{question}\\n\\nSolutions:\\n{seen}\\n\\nDecide which is right. {how}"
    return ask({"prompt": decide, "temperature": 0.1})["texts"][0].rpartition("Answer:")[2].strip()
"""

ROLE_ASSIGNMENT = """
# parts: [["panel", 1]]
from broker import ask

ROLES = {
    "mathematician": "You are a mathematician who trusts nothing but a proof.",
    "puzzle solver": "You are a puzzle solver with an eye for patterns.",
    "scientist": "You are a scientist who knows the literature.",
}


def forward(task):
    question = task["question"]
    asked = f"{question}\\n\\nDo not solve it: who should? Reply with one of: {', '.join(ROLES)}."
    chosen = ask({"prompt": asked, "temperature": 0.1})["texts"][0].lower()
    role = next((role for name, role in ROLES.items() if name in chosen), ROLES["mathematician"])
    how = "Think step by step, then end with a line `Answer: ` and the answer."
    text = ask({"system": role, "prompt": f"{question}\\n{how}", "temperature": 0.3})["texts"][0]
    return text.rpartition("Answer:")[2].strip()
"""


def _seed(name: str, thought: str, code: str) -> Proposal:
    return Proposal(thought, name, code.lstrip())


SEEDS = (
    _seed("Chain of thought", "Think before answering.", CHAIN_OF_THOUGHT),
    _seed("Self-consistency", "Think five times, and take the answer that comes most often.", SELF_CONSISTENCY),
    _seed("Reflexion", "Criticise a solution and improve it, until there is nothing to criticise.", REFLEXION),
    _seed("Debate", "Three roles answer, hear each other, and answer again; one decides.", DEBATE),
    _seed("Step-back", "Name the principle behind a question before answering it.", STEP_BACK),
    _seed("Quality-diversity", "Solve it in different ways, then decide which is right.", QUALITY_DIVERSITY),
    _seed("Role assignment", "Decide who should answer, then answer in that role.", ROLE_ASSIGNMENT),
)

VOTE = SELF_CONSISTENCY.replace('"k": 5', '"k": CALLS').replace('# parts: [["draft", 5]]\n', "").lstrip()
"""Self-consistency with as many texts as an agent may ask for, in place of CALLS: what any agent should beat."""
