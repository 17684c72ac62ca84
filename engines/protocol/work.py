"""What is done with a model, by kind of work. A field with a `Setting` is a key of the experiment file's [workload];
the file, the forms, the labels and the documentation follow from it.

Values only; part of an order.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engines.protocol.settings import Setting

TaskName = Literal["generate", "answer", "summarise"]

_IDLE = Setting(
    title="Idle",
    minimum=0,
    maximum=600,
    unit="seconds",
    help="how long the loaded model stands still before the warm-up, for net energy",
    unset="2 s where a sensor measures power, else 0",
    example="2.0",
)


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
    idle_s: Annotated[float | None, _IDLE] = None
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


class Training(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="training"):
    """Steps of an optimiser over a text."""

    data: Annotated[
        Literal["built-in"],
        Setting(title="Text", help="what is trained on: the part of Python's help that is not held out"),
    ] = "built-in"
    data_hash: str = ""
    """"sha256:…" of that file when it was planned."""
    sequence_tokens: Annotated[
        int,
        Setting(
            title="Sequence tokens",
            short="Sequence",
            minimum=2,
            maximum=1_000_000,
            unit="tokens",
            help="length of each sequence",
            sweep=True,
        ),
    ] = 128
    batch_size: Annotated[
        int,
        Setting(title="Batch", minimum=1, maximum=4096, unit="sequences", help="sequences in each step", sweep=True),
    ] = 4
    steps: Annotated[
        int,
        Setting(title="Steps", minimum=1, maximum=1_000_000, unit="steps", help="measured steps", sweep=True),
    ] = 60
    learning_rate: Annotated[
        float,
        Setting(
            title="Learning rate", short="Rate", minimum=0, maximum=10, help="highest rate of the schedule", sweep=True
        ),
    ] = 2e-4
    warmup_steps: Annotated[
        int,
        Setting(
            title="Warm-up",
            group="Each trial",
            minimum=0,
            maximum=10_000,
            unit="steps",
            help="untimed steps before the measured ones; they train too",
        ),
    ] = 3
    schedule_warmup_steps: Annotated[
        int,
        Setting(
            title="Rise",
            group="Optimiser",
            minimum=0,
            maximum=1_000_000,
            unit="steps",
            help="steps over which the learning rate rises from 0",
        ),
    ] = 5
    weight_decay: Annotated[
        float,
        Setting(
            title="Weight decay", group="Optimiser", short="Decay", minimum=0, maximum=10, help="weight decay of AdamW"
        ),
    ] = 0.0
    clip_norm: Annotated[
        float,
        Setting(
            title="Clip norm",
            group="Optimiser",
            short="Clip",
            suffix="0: off",
            minimum=0,
            maximum=1e6,
            help="largest norm of the gradient; 0 clips nothing",
        ),
    ] = 1.0
    evaluation_tokens: Annotated[
        int,
        Setting(
            title="Evaluation",
            group="Quality",
            minimum=0,
            maximum=10_000_000,
            unit="tokens",
            help="held-out tokens whose loss is taken before and after training; 0 leaves it out",
        ),
    ] = 2048
    idle_s: Annotated[float | None, _IDLE] = None
    """As of `Inference`."""


Workload = Inference | Training


def inference_of(workload: Workload) -> Inference:
    """Raises TypeError for other work."""
    if not isinstance(workload, Inference):
        raise TypeError(f"the work is {workload.__struct_config__.tag}, not inference")
    return workload


def training_of(workload: Workload) -> Training:
    """Raises TypeError for other work."""
    if not isinstance(workload, Training):
        raise TypeError(f"the work is {workload.__struct_config__.tag}, not training")
    return workload
