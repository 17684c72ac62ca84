"""Work that trains a model: what every kind of it may be set to, and what fine-tuning and pretraining add or set
otherwise. A field with a `Setting` is a key of the experiment file's [workload], as in `engines.protocol.work`.

Values only; part of an order.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engines.protocol.settings import Setting

IDLE = Setting(
    title="Idle",
    minimum=0,
    maximum=600,
    unit="seconds",
    help="how long the loaded model idles before the warm-up, for net energy",
    unset="2 s where a sensor measures power, else 0",
    example="2.0",
)


def _column(title: str, what: str) -> Setting:
    return Setting(
        title=title,
        group="Data",
        maximum=256,
        may_be_empty=True,
        help=f'column of {what}; "" guesses from names and lengths',
        example=f'"{title.lower()}"',
    )


def _share(title: str, of: str) -> Setting:
    return Setting(title=title, group="Data", minimum=0, maximum=0.9, help=f"share of the {of}")


def _split_seed(rows: str) -> Setting:
    return Setting(title="Split seed", group="Data", minimum=0, maximum=1_000_000, help=f"which {rows} go where")


_SEQUENCE = Setting(
    title="Sequence tokens",
    short="Sequence",
    minimum=2,
    maximum=1_000_000,
    unit="tokens",
    help="length of each sequence",
    sweep=True,
)
_BATCH = Setting(
    title="Batch",
    minimum=1,
    maximum=4096,
    unit="sequences",
    help="sequences computed together (the micro-batch)",
    sweep=True,
)
_STEPS = Setting(title="Steps", minimum=1, maximum=1_000_000, unit="steps", help="measured steps, at most", sweep=True)
_RISE = Setting(
    title="Learning-rate warm-up",
    short="LR warm-up",
    group="Optimiser",
    minimum=0,
    maximum=1_000_000,
    unit="steps",
    help="steps over which the learning rate rises from 0",
)
_FLOOR = Setting(
    title="Rate floor",
    short="Floor",
    group="Optimiser",
    minimum=0,
    maximum=1,
    help="share of the learning rate that the cosine ends at",
)
_BETA2 = Setting(
    title="Beta 2",
    group="Optimiser",
    minimum=0,
    maximum=0.999999,
    help="AdamW's decay of the mean of squared gradients",
)
_DECAY = Setting(
    title="Weight decay", group="Optimiser", short="Decay", minimum=0, maximum=10, help="weight decay of AdamW"
)
_EVERY = Setting(
    title="Evaluate every",
    short="Eval. every",
    group="Quality",
    suffix="0: only before and after",
    minimum=0,
    maximum=1_000_000,
    unit="steps",
    help="steps between evaluations on validation data; the clock pauses for them",
)
_EVALUATION = Setting(
    title="Evaluation",
    group="Quality",
    minimum=0,
    maximum=10_000_000,
    unit="tokens",
    help="held-out tokens on which the loss is measured, before and after training; 0 leaves it out",
)


class AnyTraining(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Steps of an optimiser over data: what all kinds of training share. No kind of work by itself."""

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
    text_column: Annotated[str, _column("Text", "plain text")] = ""
    validation_share: Annotated[float, _share("Validation", "rows for validation")] = 0.05
    test_share: Annotated[float, _share("Test", "rows for the final test")] = 0.05
    split_seed: Annotated[int, _split_seed("rows")] = 7
    sequence_tokens: Annotated[int, _SEQUENCE] = 128
    batch_size: Annotated[int, _BATCH] = 4
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
    steps: Annotated[int, _STEPS] = 60
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
    schedule_warmup_steps: Annotated[int, _RISE] = 5
    rate_floor: Annotated[float, _FLOOR] = 0.0
    weight_decay: Annotated[float, _DECAY] = 0.0
    beta1: Annotated[
        float,
        Setting(
            title="Beta 1",
            group="Optimiser",
            minimum=0,
            maximum=0.999999,
            help="AdamW's decay of the mean of gradients",
        ),
    ] = 0.9
    beta2: Annotated[float, _BETA2] = 0.999
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
            short="Recompute",
            group="Precision",
            help="keeps only the inputs of each block and computes the rest again: less memory, more time",
        ),
    ] = False
    compile: Annotated[
        bool,
        Setting(
            title="torch.compile",
            short="Compile",
            group="Precision",
            help="compiles the model before training; GPUs only",
        ),
    ] = False
    evaluate_every: Annotated[int, _EVERY] = 0
    evaluation_tokens: Annotated[int, _EVALUATION] = 2048
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
            short="Save every",
            group="Afterwards",
            suffix="0: never",
            minimum=0,
            maximum=1_000_000,
            unit="steps",
            help="steps between states that a stopped trial can be resumed from",
        ),
    ] = 0
    idle_s: Annotated[float | None, IDLE] = None
    """As of `Inference`."""


class Training(AnyTraining, frozen=True, kw_only=True, tag="training"):
    """Fine-tuning: a model that exists learns from rows with a prompt and a response, conversations, or texts."""

    prompt_column: Annotated[str, _column("Prompt", "prompts")] = ""
    response_column: Annotated[str, _column("Response", "responses")] = ""
    messages_column: Annotated[str, _column("Messages", "conversations (lists of role and content)")] = ""
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


class Pretraining(AnyTraining, frozen=True, kw_only=True, tag="pretraining"):
    """A model with random weights learns a text, with a vocabulary that is made of the text."""

    data: Annotated[
        str,
        Setting(
            title="Text",
            maximum=4096,
            group="Data",
            help="what is trained on: `built-in` (the sources and docstrings of Python's library), a text file, a "
            "folder of them, a data file or a dataset's hub id",
        ),
    ] = "built-in"
    validation_share: Annotated[float, _share("Validation", "documents for validation")] = 0.05
    test_share: Annotated[float, _share("Test", "documents for the final test")] = 0.05
    split_seed: Annotated[int, _split_seed("documents")] = 7
    vocabulary_tokens: Annotated[
        int,
        Setting(
            title="Vocabulary",
            group="Data",
            minimum=300,
            maximum=200_000,
            unit="tokens",
            help="tokens of the byte-level BPE that is made of the training text, at most",
            sweep=True,
        ),
    ] = 4096
    match_parameters: Annotated[
        bool,
        Setting(
            title="Match parameters",
            group="Data",
            help="architectures get as many parameters as the shape, within 2 %; the plan says by what change",
        ),
    ] = True
    sequence_tokens: Annotated[int, _SEQUENCE] = 256
    batch_size: Annotated[int, _BATCH] = 8
    steps: Annotated[int, _STEPS] = 300
    learning_rate: Annotated[
        float,
        Setting(
            title="Learning rate",
            short="Rate",
            minimum=1e-9,
            maximum=10,
            help="highest rate of the schedule; one rate for all favours some architectures: sweep it",
            sweep=True,
        ),
    ] = 0.001
    schedule_warmup_steps: Annotated[int, _RISE] = 20
    rate_floor: Annotated[float, _FLOOR] = 0.1
    weight_decay: Annotated[float, _DECAY] = 0.1
    beta2: Annotated[float, _BETA2] = 0.95
    evaluate_every: Annotated[int, _EVERY] = 50
    evaluation_tokens: Annotated[int, _EVALUATION] = 16_384
    keep: Annotated[
        Literal["nothing", "model"],
        Setting(
            title="Keep",
            group="Afterwards",
            help="what is kept of the trained model: nothing but figures, or the model with its tokenizer",
        ),
    ] = "nothing"
