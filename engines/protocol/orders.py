"""What a client asks a machine to run: one `TrialOrder` per trial, fully resolved.

Values only. Written by `workbench.plan.plan`, read by the runner and the worker, stored in the spool's header.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from engines.protocol.settings import Scalar as Scalar
from engines.protocol.work import AnyTraining as AnyTraining
from engines.protocol.work import Inference as Inference
from engines.protocol.work import Pretraining as Pretraining
from engines.protocol.work import TaskName as TaskName
from engines.protocol.work import Training as Training
from engines.protocol.work import Workload as Workload
from engines.protocol.work import inference_of as inference_of
from engines.protocol.work import training_of as training_of

IDENTITY = 3
"""Version of the rules of `workbench.plan.identity`. Rises when the same fields would mean something else."""

ModelKind = Literal["folder", "gguf", "hub", "random"]


TRAINED = "trained:"
"""Begins the ref of a model that its experiment trains first: "trained:NAME"."""


_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


def is_safe_name(trial: str) -> bool:
    """Whether a trial's id can name a file or folder: it comes from other programs and from bundles."""
    return _SAFE_NAME.fullmatch(trial) is not None


class ModelOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the weights come from.

    `folder` and `gguf` carry an absolute `path` on the machine under test (of a GGUF model in parts the first); `hub`
    carries a repository id in `path`, or a GGUF file of one ("org/name/FILE.gguf"), and a `revision`; `random` carries
    the architecture's `config` (Hugging Face keys) and no path.
    """

    ref: str
    """What the user wrote: catalogue id, path or hub id."""
    title: str
    aside: str = ""
    """What the title ends with in brackets: "from Q4_1", "random weights"; views may show it more quietly."""
    kind: ModelKind
    path: str = ""
    revision: str = ""
    config: dict[str, object] = {}
    origin: str = ""
    """A caution that travels with every quality figure, e.g. "dequantised from Q4_1"."""
    stored: str = ""
    """What its files were quantised in ("nf4"); "" where they were not, and of GGUF files, whose name says it."""
    fingerprint: str = ""
    """Hash over every byte of the model's files that decides a run (or over its config where weights are random)."""
    trained: str = ""
    """Hash of the configuration that trains it in the same experiment. Its place and fingerprint are then not known
    before that trial has completed (`AfterOrder`)."""
    adapter: str = ""
    """Absolute folder of an adapter that was trained on it; "" for a model that is whole."""
    adapter_hash: str = ""
    """ "sha256:…" over names and contents of the adapter's files when it was planned."""


class TechniqueOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One chosen technique (`precision.int8`) with every parameter resolved."""

    id: str
    parameters: dict[str, Scalar] = {}


class EngineOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine runs the trial and how."""

    id: str = "transformers"
    """As `engines.catalogue` lists them; other packages add their own."""
    threads: int = 0
    """Processor threads of the worker; 0 lets the runner choose: one fewer than there are, at least one."""
    start_method: Literal["plain", "template"] = "plain"
    """How the worker process is made: by starting an interpreter, or forked from a template process that has imported
    the libraries. In the order a wish; the runner writes down what it did. Not part of the configuration's hash: it
    changes cold-start figures, which template starts do not report, and nothing that is measured later."""
    settings: dict[str, Scalar] = {}
    """The engine's own settings, every default resolved. Each engine reads them as a struct of its own
    (`engines.hf.settings`, `engines.llama.settings`)."""


class TelemetryOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How the trial is watched from outside."""

    enabled: bool = True
    rate_hz: float = 10.0
    """Readings per second, 20 at the most."""
    turns_s: float = 0.0
    """Above 0, for the self-check: while the trial measures, telemetry is on and off in turns of so many seconds, at
    least 0.2. 0: it stays on."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds the runner puts on a worker."""

    address_space_bytes: int | None = None
    """RLIMIT_AS of the worker (bytes); None sets no limit."""
    time_s: float | None = None
    """The trial is stopped, keeping its data, after this many seconds; None sets no limit."""


class EnvironmentOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client that submitted the trial has around it (`engines.protocol.client_environment`)."""

    variables: dict[str, str] = {}
    """Those that a worker gets in place of the runner's own; one that is passed on and not here is unset."""
    secrets: tuple[str, ...] = ()
    """Names of further ones, whose values the runner keeps in memory only."""
    processors: str = ""
    """Those the client may use, as the kernel lists them: "0-3,8"."""
    not_passed_on: tuple[str, ...] = ()
    """Names of variables that look as if they counted and stay behind."""


class ResumeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint that a training trial continues from."""

    trial: str
    """The one that wrote it."""
    path: str
    """Absolute, on the machine under test."""
    sha256: str
    step: int
    """Steps that were done."""


class AfterOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that comes first, because it makes this one's model. The runner holds the trial back until then, and
    writes where the model is."""

    trial: str
    artifact: Literal["adapter", "model"]
    """What is used of it."""


class TrialOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of one configuration, ready to run. `trial` is unique for ever (see `workbench.plan.plan.new_id`)."""

    trial: str
    experiment: str
    store: str
    """Identity of the database the trial belongs to (a file's stored id, not its path)."""
    configuration: str
    """Hash of what is run."""
    identity: int = IDENTITY
    """Version of the rules that this hash was made by."""
    title: str
    """For people: "SmolLM2-135M-Instruct · int8"."""
    block: int
    position: int
    """Place in the experiment's order, from 0."""
    total: int
    """Trials in the experiment."""
    seed: int
    experiment_title: str
    color: int = 0
    """Index into the run palette; a configuration keeps it in every chart."""
    model: ModelOrder
    techniques: tuple[TechniqueOrder, ...] = ()
    workload: Workload = Inference()
    engine: EngineOrder = EngineOrder()
    device: str = "cpu"
    """"cpu", or "cuda:" and the GPU's UUID."""
    more_devices: tuple[str, ...] = ()
    """Further ones of the same kind, which it holds at the same time where a technique needs several."""
    machine: str = "this"
    """What the client calls the machine it was sent to (`workbench.machines.machine`). Nothing there depends on it."""
    telemetry: TelemetryOrder = TelemetryOrder()
    limits: Limits = Limits()
    expected_s: float = 0.0
    """Estimate for progress bars; 0 where there is none."""
    expected_bytes: int = 0
    """Memory by the plan's formulas, of training; 0 where there is none. What was measured is held against it."""
    expected_by: int = 0
    """Version of those formulas."""
    allow_network: bool = False
    """Only when the user asked for a hub model."""
    after: AfterOrder | None = None
    """None where its model is there already."""
    resume: ResumeOrder | None = None
    """Of a trial that continues another one."""
    environment: EnvironmentOrder | None = None
    """Not part of what is run, so in no hash. None, from a client that says nothing: the worker's is the runner's."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device that it leases, the one it is named after first."""
        return (self.device, *self.more_devices)

    @property
    def inference(self) -> Inference:
        """Raises TypeError where the work is another."""
        return inference_of(self.workload)

    @property
    def training(self) -> AnyTraining:
        """Raises TypeError where the work is another."""
        return training_of(self.workload)

    @property
    def first_step(self) -> int:
        """The training step it begins with."""
        return self.resume.step if self.resume is not None else 0

    @property
    def first_measured_step(self) -> int:
        """After a warm-up, which a trial that continues another has too: a process begins slowly. At least one is."""
        training = self.training
        total = training.warmup_steps + training.steps
        return min(self.first_step + training.warmup_steps, max(total - 1, training.warmup_steps))

    def technique(self, axis: str) -> TechniqueOrder | None:
        """The technique chosen on an axis ("precision"), or None."""
        return next((t for t in self.techniques if t.id.partition(".")[0] == axis), None)
