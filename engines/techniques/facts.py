"""What is known about a model and a machine before anything is loaded: enough to say whether a technique applies."""

from __future__ import annotations

import msgspec

from engines.techniques.layers import Layers
from engines.techniques.weights import Weights

CONV1D = frozenset({"gpt2", "openai-gpt", "imagegpt"})
"""`model_type` of models whose layers are Conv1D in transformers: weights stored the other way round than in a linear
layer, and passed over by what quantises linear layers."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Read from config.json and safetensors or GGUF headers; zero or "" where unknown."""

    kind: str
    """As `ModelOrder.kind`."""
    architecture: str
    """Hugging Face `model_type` or GGUF `general.architecture`: "llama", "qwen2", ..."""
    parameters: int
    stored_bytes: int
    stored_dtype: str
    """"bfloat16", "Q4_K_M", "nf4": the type of most weights, or what the whole is called."""
    layers: int = 0
    hidden: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    attention: Layers = Layers(unknown="the model's shape is not known")
    """What each layer attends to and keeps: of models whose layers differ, `kv_heads` is that of the largest."""
    vocabulary: int = 0
    context_tokens: int = 0
    linear_parameters: int = 0
    """Parameters in linear layers except the output head: what weight quantisation changes."""
    linear_in_divisor: int = 0
    """Greatest number that divides the input width of every layer counted in `linear_parameters`: formats with groups
    or tiles need it to be a multiple of theirs."""
    linear_out_divisor: int = 0
    """The same of the output widths."""
    has_tokenizer: bool = True
    quantised: str = ""
    """What the files in Hugging Face format were quantised in: "nf4", "gptq 4 bit"; "" where they were not."""
    quantised_by: str = ""
    """The method, as config.json says: "bitsandbytes"."""
    quantised_packages: tuple[str, ...] = ()
    """What transformers needs to read them."""
    weights: Weights = Weights()
    """Its matrices, biases and blocks: what fine-tuning can train."""
    adapter: str = ""
    """Kind of the adapter on it, as peft calls it ("LORA"), or "weights" that replace its own; "" without one."""
    unfit: str = ""
    """Why the model cannot continue a text, whatever the engine; "" where it can."""

    @property
    def keeps(self) -> str:
        """What keeps a precision of its own: "gguf", "quantised", or "" for a model that is read in any."""
        return "gguf" if self.kind == "gguf" else "quantised" if self.quantised else ""


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One device of one machine, and the packages its engines can use."""

    device_kind: str
    """"cpu" or "cuda"."""
    device_count: int = 1
    """Devices of that kind that one trial can have."""
    memory_total_bytes: int = 0
    memory_free_bytes: int = 0
    cores: int = 0
    threads_default: int = 1
    compute_capability: tuple[int, int] = (0, 0)
    packages: dict[str, str] = {}
    """Installed name -> version."""
    processor_flags: frozenset[str] = frozenset()
