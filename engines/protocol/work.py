"""What is done with a model, by kind of work. A field with a `Setting` is a key of the experiment file's [workload];
the file, the forms, the labels and the documentation follow from it.

Values only; part of an order. Other packages add kinds of work (`engines.protocol.kinds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from engines.protocol.settings import Setting
from engines.protocol.training import IDLE
from engines.protocol.training import AnyTraining as AnyTraining
from engines.protocol.training import Pretraining as Pretraining
from engines.protocol.training import Training as Training

TaskName = Literal["generate", "answer", "summarise"]


def tag_of(workload: type[msgspec.Struct]) -> str:
    """The kind's name in files and orders: "inference"."""
    return str(workload.__struct_config__.tag)


class Inference(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="inference"):
    """Requests to a model. Lengths are tokens per sequence."""

    task: Annotated[
        TaskName,
        Setting(
            title="Task",
            help="what the prompts are: windows of a text, questions, or passages to summarise",
        ),
    ] = "generate"
    """Whatever it is, every prompt is brought to exactly `prompt_tokens` tokens."""
    prompt_file: Annotated[
        str,
        Setting(
            title="Prompts",
            maximum=4096,
            may_be_empty=True,
            help='prompts of your own in place of the built-in ones, see below; "" for none',
            example='"prompts.txt"',
        ),
    ] = ""
    """In an order the absolute path on the machine under test."""
    prompt_file_hash: str = ""
    """"sha256:…" of that file when it was planned; a worker that finds another one fails."""
    prompt_tokens: Annotated[
        int,
        Setting(
            title="Prompt tokens",
            short="Prompt",
            minimum=1,
            maximum=1_000_000,
            unit="tokens",
            help="length of each prompt",
            sweep=True,
        ),
    ] = 128
    new_tokens: Annotated[
        int,
        Setting(
            title="New tokens",
            minimum=1,
            maximum=100_000,
            unit="tokens",
            help="tokens generated for each sequence",
            sweep=True,
        ),
    ] = 64
    batch_size: Annotated[
        int,
        Setting(
            title="Batch",
            minimum=1,
            maximum=4096,
            unit="sequences",
            help="sequences side by side; llama.cpp holds 256",
            sweep=True,
        ),
    ] = 1
    depth_tokens: Annotated[
        int,
        Setting(
            title="Depth tokens",
            short="Depth",
            minimum=0,
            maximum=1_000_000,
            unit="tokens",
            help="tokens that are in the KV cache when a request begins, put there outside its times; llama.cpp only",
            sweep=True,
        ),
    ] = 0
    requests: Annotated[
        int,
        Setting(
            title="Requests",
            group="Each trial",
            minimum=1,
            maximum=10_000,
            suffix="at least",
            help="measured requests of a trial at least",
        ),
    ] = 3
    window_s: Annotated[
        float,
        Setting(
            title="Window",
            group="Each trial",
            minimum=0,
            maximum=3600,
            unit="seconds",
            suffix="s, at least",
            help="requests repeat until the measured window is this long",
        ),
    ] = 5.0
    warmup_requests: Annotated[
        int,
        Setting(
            title="Warm-up",
            group="Each trial",
            minimum=0,
            maximum=1000,
            suffix="at most",
            help="warm-up ends when times are steady, at the latest after these requests",
        ),
    ] = 10
    perplexity_tokens: Annotated[
        int,
        Setting(
            title="Perplexity",
            group="Quality",
            minimum=0,
            maximum=10_000_000,
            default=1024,
            unit="tokens",
            help="held-out tokens for quality; 0 leaves perplexity out",
        ),
    ] = 0
    text_tokens: Annotated[
        int,
        Setting(
            title="Texts",
            group="Quality",
            minimum=0,
            maximum=100_000,
            unit="tokens",
            help="length of the texts written for six built-in prompts, to be read side by side in Compare or with "
            "`llm-workbench texts`; 0 writes none",
            example="64",
        ),
    ] = 0
    """Like the tasks they are the same in every trial, so only trials of the first block write them."""
    tasks: Annotated[
        tuple[str, ...],
        Setting(
            title="Tasks",
            group="Quality",
            maximum=200,
            help='tasks whose accuracy is measured (`llm-workbench tasks`): "gsm8k-sample", "lm-eval:arc_easy"',
            example='["gsm8k-sample"]',
        ),
    ] = ()
    task_samples: Annotated[
        int,
        Setting(
            title="Questions",
            group="Quality",
            minimum=0,
            maximum=1_000_000,
            unit="questions",
            suffix="0: all",
            help="questions of each task, the first ones; 0 asks all",
            example="50",
        ),
    ] = 0
    idle_s: Annotated[float | None, IDLE] = None
    """None: the runner decides by the machine's sensors, and writes down what it chose."""
    prefill_energy_s: Annotated[
        float | None,
        Setting(
            title="Prefill energy",
            minimum=0,
            maximum=600,
            unit="seconds",
            help="how long one-token requests follow the measured ones, for energy per phase",
            unset="5 s where a sensor measures power, else 0",
            example="5.0",
        ),
    ] = None
    """None: as `idle_s`."""


class OtherWork(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What another package's kind of work derives from, with a `tag` of its own."""

    idle_s: Annotated[float | None, IDLE] = None
    """As of `Inference`."""


if TYPE_CHECKING:
    Workload = Inference | Training | Pretraining | OtherWork
else:
    Workload = Inference | Training | Pretraining  # `engines.protocol.kinds` adds those of other packages


def sequences_of(workload: Workload) -> int:
    """Sequences computed together; 1 for work that has none."""
    return workload.batch_size if isinstance(workload, Inference | AnyTraining) else 1


def inference_of(workload: Workload) -> Inference:
    """Raises TypeError for other work."""
    if not isinstance(workload, Inference):
        raise TypeError(f"the work is {tag_of(type(workload))}, not inference")
    return workload


def training_of(workload: Workload) -> AnyTraining:
    """Raises TypeError for other work."""
    if not isinstance(workload, AnyTraining):
        raise TypeError(f"the work is {tag_of(type(workload))}, not training")
    return workload
