"""Where the parts run: the first GPU that NVML lists, or a processor in its place (`rehearsal`). No torch at import."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.on_gpu.notes import NotHere
from engines.protocol.orders import ModelOrder
from engines.telemetry.nvml_devices import gpus
from engines.telemetry.nvml_library import NvmlLibrary, NvmlUnavailable, load_nvml, opened

_PACKAGES = ("torch", "transformers", "accelerate", "torchao", "bitsandbytes", "numpy", "msgspec", "nvidia-ml-py")
_LAYER = {"model_type": "llama", "rms_norm_eps": 1e-5, "dtype": "bfloat16", "max_position_embeddings": 4096}
_BUSY_WIDTH = 8192
_BUSY_PRODUCTS = 20
"""Queued at once: some 30 ms of an H200."""


@dataclass(frozen=True)
class Lengths:
    """Seconds, requests and tokens: what makes a rehearsal short."""

    idle_s: float
    busy_s: float
    """At the most; a part takes less where its limit says so."""
    new_tokens: int
    prompt_tokens: int
    window_s: float
    turn_s: float
    turns: int
    """With telemetry and without, at the most."""
    pairs: int
    """Requests with and without events, at the most."""
    sequence_tokens: int = 2048
    """Of training."""
    steps: int = 12
    """Measured ones, of training."""


@dataclass(frozen=True)
class Setting:
    device: str
    """As trials name it: "cuda:" and the UUID, "cpu" in a rehearsal."""
    uuid: str
    """As NVML names it; of the scripted one in a rehearsal."""
    torch_device: str
    load_nvml: Callable[[], NvmlLibrary]
    busy: Callable[[], AbstractContextManager[None]]
    """Keeps the device busy inside a `with`."""
    large: ModelOrder
    small: ModelOrder
    tuned: tuple[ModelOrder, ...]
    """Adapters are trained on these, the smallest first."""
    precisions: tuple[str, ...]
    lengths: Lengths
    facts: dict[str, str]

    @property
    def rehearsal(self) -> bool:
        return self.device == "cpu"


def llama(title: str, hidden: int, inner: int, layers: int, heads: int, vocabulary: int, **more: object) -> ModelOrder:
    """Random weights in the shape of a llama, with full attention heads where `more` does not say otherwise."""
    config = {
        **_LAYER,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        **more,
    }
    return ModelOrder(ref="bench", title=title, kind="random", config=config, origin="random weights")


SEVEN_B = llama("Llama 7B shape", 4096, 11008, 32, 32, 32000)
ONE_B = llama("Llama 1B shape", 2048, 5504, 16, 16, 32000)
LLAMA_32_1B = llama(
    "Llama-3.2-1B shape", 2048, 8192, 16, 32, 128256, num_key_value_heads=8, head_dim=64, tie_word_embeddings=True
)
LLAMA_31_8B = llama("Llama-3.1-8B shape", 4096, 14336, 32, 32, 128256, num_key_value_heads=8)


def on_gpu() -> Setting:
    """The first GPU. Raises `NotHere`."""
    try:
        library = load_nvml()
        with opened(library):
            found = gpus(library)
    except ImportError as error:
        raise NotHere(f"NVIDIA's bindings are missing ({error}): carry nvidia-ml-py.") from error
    except NvmlUnavailable as error:
        raise NotHere(f"{error} {error.hint}".strip()) from error
    if not found:
        raise NotHere("NVIDIA's driver is loaded and finds no GPU.")
    gpu = found[0]
    facts = {"GPU": gpu.title, "GPUs": str(len(found)), "driver": gpu.driver, "CUDA of the driver": gpu.cuda}
    facts |= {"compute capability": gpu.compute_capability, "memory (bytes)": str(gpu.memory_total_bytes)}
    facts |= {"power limit (W)": gpu.power_limit_watts, "MIG slice": "yes" if gpu.is_slice else "no"}
    return Setting(
        device=f"cuda:{gpu.uuid}",
        uuid=gpu.uuid,
        torch_device="cuda:0",
        load_nvml=load_nvml,
        busy=busy_gpu,
        large=SEVEN_B,
        small=ONE_B,
        tuned=(LLAMA_32_1B, LLAMA_31_8B),
        precisions=("bfloat16", "int8", "nf4", "int4"),
        lengths=Lengths(
            idle_s=4.0, busy_s=12.0, new_tokens=64, prompt_tokens=512, window_s=6.0, turn_s=1.5, turns=40, pairs=40
        ),
        facts=facts | software(),
    )


def software() -> dict[str, str]:
    facts = {"python": platform.python_version(), "kernel": platform.release(), "machine": platform.machine()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[name] = importlib.metadata.version(name)
    return facts


def torch_on(setting: Setting) -> Any:
    """torch, once it has a context on the device. Raises `NotHere`."""
    import torch

    if setting.rehearsal:
        torch.set_num_threads(1)  # a tiny model gains nothing of more, and loses much on a busy machine
    else:
        if not torch.cuda.is_available():
            raise NotHere(f"torch {torch.__version__} cannot use the GPU.")
        torch.zeros(1, device=setting.torch_device)
        torch.cuda.synchronize()
    return torch


@contextmanager
def busy_gpu() -> Iterator[None]:
    """Matrix products in bfloat16, one after the other, on a thread; the GPU idles again when this returns."""
    import torch

    over = threading.Event()
    a, b = (torch.randn(_BUSY_WIDTH, _BUSY_WIDTH, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)

    def multiply() -> None:
        while not over.is_set():
            for _ in range(_BUSY_PRODUCTS):
                torch.matmul(a, b, out=c)
            torch.cuda.synchronize()

    worker = threading.Thread(target=multiply)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
