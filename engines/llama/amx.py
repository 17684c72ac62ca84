"""Whether this build's code for AMX works on this processor. `python -m engines.llama.amx` is the trial run.

A compiler (seen with GCC 12.2) may leave llama.cpp's tile configuration half written, because its intrinsic names only
the first bytes as read; `ldtilecfg` then faults, and every quantised model dies of SIGSEGV
(https://github.com/ggml-org/llama.cpp/issues/20824, https://github.com/ggml-org/llama.cpp/pull/26954). The build does
not tell, so a layer of a model is computed in a process of its own first. Where that dies, the engine keeps weights out
of the layout for AMX.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from engines.llama.library import Library, library

_SECONDS = 60
_WIDTH = 64
_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
BROKEN = "not used: this build's code for it crashes on this processor (llama.cpp issue 20824)"


def works() -> bool:
    """Run the trial in another process. Half a second."""
    try:
        command = [sys.executable, "-m", "engines.llama.amx"]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trial.gguf"
        _write(file)
        return _compute(library(), file)


def _write(file: Path) -> None:
    """A llama of one layer without a tokenizer, its matrices in Q8_0."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    writer = GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_context_length(_WIDTH)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(_WIDTH)
    writer.add_tokenizer_model("no_vocab")
    eye = quants.quantize(np.eye(_WIDTH, dtype=np.float32), GGMLQuantizationType.Q8_0)
    for name in ("token_embd", "output", *(f"blk.0.{part}" for part in _MATRICES)):
        writer.add_tensor(f"{name}.weight", eye, raw_dtype=GGMLQuantizationType.Q8_0)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _compute(found: Library, file: Path) -> int:
    """Two tokens, which take another path than one. -> exit code"""
    api = found.api
    parameters = api.llama_model_default_params()
    parameters.n_gpu_layers = 0
    model = api.llama_model_load_from_file(str(file).encode(), parameters)
    if not model:
        return 1
    settings = api.llama_context_default_params()
    settings.n_ctx = _WIDTH
    settings.n_threads = settings.n_threads_batch = 1
    context = api.llama_init_from_model(model, settings)
    if not context:
        return 1
    for count in (2, 1):
        ids = (api.llama_token * count)(*range(count))
        if api.llama_decode(context, api.llama_batch_get_one(ids, count)):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
