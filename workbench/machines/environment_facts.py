"""What each environment fact means to a reader: its group, its name and value for people, and whether a difference in
it matters to a comparison. Pure; no Qt.

Facts are flat text by dotted name (`engines.host.environment`, the worker's own, and the order as "order."). The rules
are read from the top: the first that fits decides, an exact name or a beginning that ends in a dot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from engines.techniques import axes
from workbench.units import format_bytes, format_duration, format_value

RUN, SOFTWARE, MACHINE, DEVICE = "What is run", "Software", "Machine", "Device"
START, STATE, OTHER = "How it was started", "During the trial", "Other"
GROUPS = (RUN, SOFTWARE, MACHINE, DEVICE, START, STATE, OTHER)

Nature = Literal["matters", "plain", "moves"]
"""A difference in a fact that "matters" can move figures although nobody asked for it; one that "moves" (load, free
memory, process ids, seeds) is different in every trial anyway."""

ORDER = "order."


@dataclass(frozen=True)
class FactKind:
    """`asked_by`: parts of the order whose difference explains one in this fact ("order.engine.threads")."""

    title: str
    group: str
    nature: Nature = "plain"
    asked_by: tuple[str, ...] = ()


_THREADS = ("order.engine.threads", "order.engine.id")
_ENGINE = ("order.engine.id",)
_ON = ("order.device",)
_MODEL = ("order.model", "order.engine.id")

_EXACT: dict[str, FactKind] = {
    "model.revision": FactKind("Model revision", RUN, "matters", _MODEL),
    "prompts.source": FactKind("Text of the prompts", RUN, "matters", (*_MODEL, "order.workload")),
    "tokenizer.begin": FactKind("Begin token before a text", RUN, "matters", _MODEL),
    "prompts.begin": FactKind("Begin token of the prompts", RUN),
    "prompts.seed": FactKind("Seed of the prompts", RUN, "moves"),
    "worker.seed": FactKind("Seed", RUN, "moves"),
    "generate.settings": FactKind("Generation", RUN),
    "project.version": FactKind("LLM Workbench", SOFTWARE),
    "project.commit": FactKind("LLM Workbench, commit", SOFTWARE),
    "project.sources": FactKind("LLM Workbench, measuring code", SOFTWARE, "matters"),
    "package.llm-workbench": FactKind("LLM Workbench, as the worker sees it", SOFTWARE),
    "python.version": FactKind("Python", SOFTWARE, "matters"),
    "python.implementation": FactKind("Python implementation", SOFTWARE, "matters"),
    "worker.python": FactKind("Python of the worker", SOFTWARE, "matters", _ENGINE),
    "torch.build": FactKind("torch, build", SOFTWARE, "matters"),
    "torch.cpu_capability": FactKind("torch, instructions used", SOFTWARE, "matters"),
    "torch.cuda": FactKind("torch, CUDA", SOFTWARE, "matters"),
    "torch.cudnn": FactKind("torch, cuDNN", SOFTWARE, "matters"),
    "torch.cuda_device": FactKind("GPU as torch sees it", DEVICE, "matters", _ON),
    "os.name": FactKind("Operating system", SOFTWARE, "matters"),
    "os.kernel": FactKind("Kernel", SOFTWARE, "matters"),
    "host.name": FactKind("Computer", MACHINE, "matters"),
    "host.boot": FactKind("Start of the machine", MACHINE),
    "host.container": FactKind("Container", MACHINE, "matters"),
    "host.virtual": FactKind("Virtual machine", MACHINE, "matters"),
    "host.product": FactKind("Product", MACHINE),
    "slurm.job": FactKind("Slurm job", MACHINE, "moves"),
    "slurm.partition": FactKind("Slurm partition", MACHINE, "matters"),
    "slurm.processors": FactKind("Slurm, processors of the job", MACHINE, "matters"),
    "cpu.model": FactKind("Processor", MACHINE, "matters"),
    "cpu.cores": FactKind("Cores that may be used", MACHINE, "matters"),
    "cpu.cores_machine": FactKind("Cores of the machine", MACHINE, "matters"),
    "cpu.flags": FactKind("Instruction sets", MACHINE, "matters"),
    "cpu.governor": FactKind("Processor governor", MACHINE, "matters"),
    "cpu.clock_max_hertz": FactKind("Processor clock, highest", MACHINE, "matters"),
    "cpu.boost": FactKind("Processor boost", MACHINE, "matters"),
    "cpu.threads_per_core": FactKind("Hardware threads per core", MACHINE, "matters"),
    "memory.total_bytes": FactKind("Memory", MACHINE, "matters"),
    "memory.huge_pages": FactKind("Huge pages", MACHINE, "matters"),
    "memory.free_bytes": FactKind("Memory free at the start", STATE, "moves"),
    "swap.total_bytes": FactKind("Swap", MACHINE),
    "swap.used_bytes": FactKind("Swap in use at the start", STATE, "moves"),
    "power.source": FactKind("Power source", MACHINE, "matters"),
    "power.profile": FactKind("Power profile", MACHINE, "matters"),
    "gpu.0.clock_start_hertz": FactKind("GPU clock at the start", STATE, "moves"),
    "gpu.0.memory_clock_start_hertz": FactKind("GPU memory clock at the start", STATE, "moves"),
    "gpu.0.processes_foreign": FactKind("Foreign processes on the GPU", STATE),
    "gpu.0.problem": FactKind("GPU did not answer", DEVICE),
    "worker.threads": FactKind("Threads", START, "matters", _THREADS),
    "worker.interop_threads": FactKind("Threads between operations", START, "matters", _THREADS),
    "worker.processors": FactKind("Processors it may use", START, "matters", _THREADS),
    "worker.device": FactKind("Device as the engine names it", DEVICE, "plain"),
    "worker.start_method": FactKind("Start of the worker", START, "matters", ("order.engine",)),
    "client.processors": FactKind("Processors of the command that submitted it", START),
    "client.not_passed_on": FactKind("Variables not passed on (the worker has the runner's)", START),
    "client.secrets": FactKind("Secrets passed on, never stored", START),
    "client.secrets_lost": FactKind("Secrets that a restarted runner no longer had", START),
    "client.overruled": FactKind("Variables overruled by what is run", START),
    "start.fallback": FactKind("Not started from a template, because", START),
    "template.pss_bytes": FactKind("Template, proportional set size", START, "moves"),
    "template.rss_bytes": FactKind("Template, resident size", START, "moves"),
    "template.pid": FactKind("Template, process", START, "moves"),
    "template.shared": FactKind("Shared by forks of the template", START),
    "telemetry.sources": FactKind("Telemetry sources", START, "matters", ("order.telemetry", *_ON)),
    "telemetry.rate_hz": FactKind("Telemetry rate", START, "matters", ("order.telemetry",)),
    "temperature.thermometer": FactKind("Thermometer", STATE),
    "temperature.start_celsius": FactKind("Temperature at the start", STATE, "moves"),
    "temperature.end_celsius": FactKind("Temperature at the end", STATE, "moves"),
    "load.average_1m": FactKind("Load average, 1 min", STATE, "moves"),
    "processes.foreign": FactKind("Busy foreign processes", STATE, "moves"),
    "processes.foreign_cores": FactKind("Cores used by them", STATE, "moves"),
}

_BEGINNINGS: tuple[tuple[str, str, str, Nature, tuple[str, ...]], ...] = (
    # beginning, words before the rest of the name, group, nature, asked by
    ("order.", "", RUN, "plain", ()),
    ("model.file.", "File ", RUN, "matters", _MODEL),
    ("model.", "Model ", RUN, "plain", ()),
    ("workload.", "", RUN, "plain", ()),
    ("cache.", "KV cache, ", RUN, "plain", ()),
    ("generate.", "Generation, ", RUN, "plain", ()),
    ("package.", "", SOFTWARE, "matters", ()),
    ("python.", "Python ", SOFTWARE, "matters", ()),
    ("torch.", "torch, ", SOFTWARE, "matters", ()),
    ("llama.context.", "llama.cpp, context, ", RUN, "plain", ()),  # follow from what is asked
    ("llama.load.", "llama.cpp, load, ", RUN, "plain", ()),
    ("llama.", "llama.cpp, ", SOFTWARE, "matters", ("order.engine", *_ON)),
    ("project.", "LLM Workbench, ", SOFTWARE, "plain", ()),
    ("host.", "", MACHINE, "plain", ()),
    ("slurm.", "Slurm, ", MACHINE, "plain", ()),
    ("cpu.", "Processor, ", MACHINE, "matters", ()),
    ("memory.", "Memory, ", MACHINE, "plain", ()),
    ("power.", "Power, ", MACHINE, "matters", ()),
    ("gpu.0.", "GPU ", DEVICE, "matters", _ON),
    ("gpu.", "GPU ", DEVICE, "matters", _ON),
    ("template.", "Template, ", START, "moves", ()),
    ("variable.HF_", "HF_", START, "plain", ()),  # where files lie, not how fast they run
    ("variable.TRANSFORMERS_", "TRANSFORMERS_", START, "plain", ()),
    ("variable.XDG_", "XDG_", START, "plain", ()),
    ("variable.", "", START, "matters", ("order.engine", *_ON)),
    ("client.", "Submitted with, ", START, "plain", ()),
    ("worker.", "Worker, ", START, "plain", ()),
    ("start.", "Start, ", START, "plain", ()),
    ("telemetry.", "Telemetry, ", START, "plain", ()),
    ("temperature.", "Temperature, ", STATE, "moves", ()),
    ("cooldown.", "Cooling down, ", STATE, "moves", ()),
    ("load.", "Load, ", STATE, "moves", ()),
    ("processes.", "Processes, ", STATE, "moves", ()),
)
_UNITS = ("bytes", "hertz", "watts", "celsius", "hz", "s", "cores")
_PER_TOKEN = "bytes_per_token"
_VERBATIM = ("package.", "variable.", "variable.HF_", "variable.TRANSFORMERS_", "variable.XDG_", "model.file.")
_TITLED = {"order.engine.id": "Engine", "order.device": "Device", "order.model.ref": "Model as asked for"}
_SHORT = {"host.boot": 8, "project.commit": 12, "project.sources": 8}
"""Characters of an identity that are enough to tell two apart."""


@lru_cache(maxsize=1)
def _titled() -> dict[str, str]:
    return {f"{ORDER}{axis.id}": axis.title for axis in axes()} | _TITLED


@lru_cache(maxsize=2048)
def fact_kind(name: str) -> FactKind:
    """What is known of a fact; an unknown name is a plain fact of its own."""
    if name in _EXACT:
        return _EXACT[name]
    for beginning, words, group, nature, asked_by in _BEGINNINGS:
        if name.startswith(beginning):
            rest = name.removeprefix(beginning)
            if beginning in _VERBATIM:
                return FactKind(f"{words}{rest}", group, nature, asked_by)
            plain = _plain(rest)
            title = _titled().get(name) or f"{words}{plain if words else plain[:1].upper() + plain[1:]}"
            return FactKind(title, group, nature, asked_by)
    return FactKind(_plain(name), OTHER)


def fact_text(name: str, value: str) -> str:
    """The value as people read it: bytes as GiB, hertz as GHz, the machine's start by its first letters."""
    if name in _SHORT and not value.startswith("not "):
        return value.removeprefix("sha256:")[: _SHORT[name]]
    unit = name.rpartition("_")[2]
    if unit not in _UNITS and not name.endswith(_PER_TOKEN):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    if unit == "token":
        return format_value(number, "B/token", "KiB/token")
    if unit == "bytes":
        return format_bytes(number)
    if unit == "hertz":
        return format_value(number, "Hz")
    if unit == "watts":
        return format_value(number, "W", "W")
    if unit == "s":
        return format_duration(number)
    return f"{number:g} {'°C' if unit == 'celsius' else 'Hz' if unit == 'hz' else unit}"


def _plain(name: str) -> str:
    """ "engine.prompt_tokens" as words, without the unit that the value carries."""
    if name.endswith(_PER_TOKEN):
        return name.removesuffix(_PER_TOKEN) + "size per token"
    head, _, last = name.rpartition("_")
    words = head if head and last in _UNITS else name
    parts = [part.replace("_", " ") for part in words.split(".")]
    return ", ".join(parts) if len(parts) < 3 else ", ".join(parts[-2:])
