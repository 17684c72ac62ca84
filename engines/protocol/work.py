"""What is done with a model, by kind of work. A field with a `Setting` is a key of the experiment file's [workload];
the file, the forms, the labels and the documentation follow from it.

Values only; part of an order. Other packages add kinds of work (`engines.protocol.kinds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from engines.protocol.settings import Setting

TaskName = Literal["generate", "answer", "summarise"]

_IDLE = Setting(
    title="Idle",
    minimum=0,
    maximum=600,
    unit="seconds",
    help="how long the loaded model idles before the warm-up, for net energy",
    unset="2 s where a sensor measures power, else 0",
    example="2.0",
)


def tag_of(workload: type[msgspec.Struct]) -> str:
    """The kind's name in files and orders: "inference"."""
    return str(workload.__struct_config__.tag)


def _column(title: str, what: str) -> Setting:
    return Setting(
        title=title,
        group="Data",
        maximum=256,
        may_be_empty=True,
        help=f'column of {what}; "" guesses from names and lengths',
        example=f'"{title.lower()}"',
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
        str,
        Setting(
            title="Data",
            maximum=4096,
            group="Data",
            help="what is trained on: `built-in` (part of Python's help), `docstrings` (functions of Python's library "
            "and their docstrings), a file or folder of your own, or a dataset's hub id",
        ),
    ] = "built-in"
    """In an order the absolute path on the machine under test, a built-in name or a hub id."""
    data_hash: str = ""
    """"sha256:…" of that file when it was planned."""
    prompt_column: Annotated[str, _column("Prompt", "prompts")] = ""
    response_column: Annotated[str, _column("Response", "responses")] = ""
    messages_column: Annotated[str, _column("Messages", "conversations (lists of role and content)")] = ""
    text_column: Annotated[str, _column("Text", "plain text")] = ""
    loss_on: Annotated[
        Literal["response", "everything"],
        Setting(title="Loss on", group="Data", help="which tokens the loss counts, where the data have responses"),
    ] = "response"
    template: Annotated[
        Literal["chat", "plain"],
        Setting(title="Template", group="Data", help="whether each row is written with the model's chat template"),
    ] = "chat"
    packing: Annotated[
        bool,
        Setting(title="Packing", group="Data", help="several short rows share a sequence; none sees the others"),
    ] = True
    validation_share: Annotated[
        float,
        Setting(title="Validation", group="Data", minimum=0, maximum=0.9, help="share of the rows for validation"),
    ] = 0.05
    test_share: Annotated[
        float,
        Setting(title="Test", group="Data", minimum=0, maximum=0.9, help="share of the rows for the final test"),
    ] = 0.05
    split_seed: Annotated[
        int,
        Setting(title="Split seed", group="Data", minimum=0, maximum=1_000_000, help="which rows go where"),
    ] = 7
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
        Setting(
            title="Batch",
            minimum=1,
            maximum=4096,
            unit="sequences",
            help="sequences computed together (the micro-batch)",
            sweep=True,
        ),
    ] = 4
    accumulation: Annotated[
        int,
        Setting(
            title="Accumulation",
            minimum=1,
            maximum=4096,
            help="micro-batches whose gradients are added up in each step",
            sweep=True,
        ),
    ] = 1
    stop_at: Annotated[
        Literal["steps", "tokens", "time", "loss"],
        Setting(title="Stop at", help="what ends training, the same for every configuration; never more than `steps`"),
    ] = "steps"
    token_budget: Annotated[
        int,
        Setting(
            title="Tokens",
            minimum=0,
            maximum=10**12,
            unit="tokens",
            help='tokens to train on, with `stop_at = "tokens"`',
        ),
    ] = 0
    time_budget_s: Annotated[
        float,
        Setting(
            title="Time",
            minimum=0,
            maximum=10**7,
            unit="seconds",
            help='time of steps and of making batches, with `stop_at = "time"`; evaluation does not count',
        ),
    ] = 0.0
    target_loss: Annotated[
        float,
        Setting(
            title="Target loss",
            minimum=0,
            maximum=100,
            unit="nats a token",
            suffix="0: none",
            help="validation loss to reach; time, tokens and energy until then are measured, and it ends training "
            'with `stop_at = "loss"`; 0 sets none',
        ),
    ] = 0.0
    steps: Annotated[
        int,
        Setting(title="Steps", minimum=1, maximum=1_000_000, unit="steps", help="measured steps, at most", sweep=True),
    ] = 60
    learning_rate: Annotated[
        float,
        Setting(
            title="Learning rate",
            short="Rate",
            suffix="0: each method's own",
            minimum=0,
            maximum=10,
            help="highest rate of the schedule; 0 takes each method's own default",
            sweep=True,
        ),
    ] = 0.0
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
            title="Learning-rate warm-up",
            short="LR warm-up",
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
    optimiser: Annotated[
        Literal["adamw", "adamw-8bit"],
        Setting(
            title="Optimiser", group="Optimiser", help="AdamW: that of torch, or that of bitsandbytes with 8-bit states"
        ),
    ] = "adamw"
    autocast: Annotated[
        Literal["off", "bfloat16"],
        Setting(title="Autocast", group="Precision", help="number format of matrix products while training"),
    ] = "off"
    checkpointing: Annotated[
        bool,
        Setting(
            title="Checkpointing",
            group="Precision",
            help="keeps only the inputs of each block and computes the rest again: less memory, more time",
        ),
    ] = False
    compile: Annotated[
        bool, Setting(title="torch.compile", group="Precision", help="compiles the model before training; GPUs only")
    ] = False
    evaluate_every: Annotated[
        int,
        Setting(
            title="Evaluate every",
            group="Quality",
            suffix="0: only before and after",
            minimum=0,
            maximum=1_000_000,
            unit="steps",
            help="steps between evaluations on validation data; the clock pauses for them",
        ),
    ] = 0
    evaluation_tokens: Annotated[
        int,
        Setting(
            title="Evaluation",
            group="Quality",
            minimum=0,
            maximum=10_000_000,
            unit="tokens",
            help="held-out tokens on which the loss is measured, before and after training; 0 leaves it out",
        ),
    ] = 2048
    keep: Annotated[
        Literal["nothing", "adapter", "model"],
        Setting(
            title="Keep",
            group="Afterwards",
            help="what is kept of the trained model: nothing but figures, its adapter (or the trained weights), or the "
            "whole model, adapters merged",
        ),
    ] = "nothing"
    checkpoint_every: Annotated[
        int,
        Setting(
            title="Checkpoint every",
            group="Afterwards",
            suffix="0: never",
            minimum=0,
            maximum=1_000_000,
            unit="steps",
            help="steps between states that a stopped trial can be resumed from",
        ),
    ] = 0
    idle_s: Annotated[float | None, _IDLE] = None
    """As of `Inference`."""


class OtherWork(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What another package's kind of work derives from, with a `tag` of its own."""

    idle_s: Annotated[float | None, _IDLE] = None
    """As of `Inference`."""


if TYPE_CHECKING:
    Workload = Inference | Training | OtherWork
else:
    Workload = Inference | Training  # `engines.protocol.kinds` adds those of other packages


def sequences_of(workload: Workload) -> int:
    """Sequences computed together; 1 for work that has none."""
    return workload.batch_size if isinstance(workload, Inference | Training) else 1


def inference_of(workload: Workload) -> Inference:
    """Raises TypeError for other work."""
    if not isinstance(workload, Inference):
        raise TypeError(f"the work is {tag_of(type(workload))}, not inference")
    return workload


def training_of(workload: Workload) -> Training:
    """Raises TypeError for other work."""
    if not isinstance(workload, Training):
        raise TypeError(f"the work is {tag_of(type(workload))}, not training")
    return workload
