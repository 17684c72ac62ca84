"""Does our measured loop cost anything? The transformers engine's request against a bare `model.generate`.

`python -m benchmarks.transformers_parity [--model FOLDER] [--precision float32] [--threads 1]`

One process, one model object, both ways alternating on the same prompt: ours is `engines.hf.generate.Generator.run`
with its ring of stamps and its own clock; the bare one is `model.generate` between two readings of `time.perf_counter`.
Prints figure / reference / ratio [low, high] n and the verdict on the margin, for tokens/s end to end (the claim), and
below it for tokens per second of processor time, which neighbours on a busy machine disturb less. Requests are short,
so that both of a pair meet the same neighbours.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.paired_comparison import Ratio, compare, interval, report_progress
from engines.protocol.orders import ModelOrder
from engines.protocol.places import places, starter_folder
from engines.protocol.ring import RingWriter, create_ring
from engines.worker.stop import Stop

_STAND_IN: dict[str, object] = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
"""The starter model's shape with random weights, where the starter model is not there: the same work per token."""


def main() -> int:
    options = _options()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        wall, processor = measure(options, Path(folder))
    print(wall.line("engine", "bare generate", "tokens/s"))
    print("in processor time:", processor.line("engine", "bare generate", "tokens/cpu-s"))
    return 0


def measure(options: argparse.Namespace, folder: Path) -> tuple[Ratio, Ratio]:
    """Load the model, warm both ways up, run the pairs: the ratio of tokens/s, and per second of processor time."""
    from engines.hf import quiet

    quiet.before_import()
    import torch

    from engines.data.text import Prompts, random_tokens, text_tokens
    from engines.hf.generate import Generator, Lengths
    from engines.hf.load import LoadRequest
    from engines.hf.precision import load_float
    from engines.hf.precision_torchao import load_int8
    from engines.hf.tokenizer import load_tokenizer

    quiet.after_import()
    torch.set_num_threads(options.threads)
    model_order = _model(options.model)
    request = LoadRequest(
        model=model_order,
        technique=f"precision.{options.precision}",
        device=torch.device("cuda" if options.cuda else "cpu"),
        attention="sdpa",
    )
    model = load_int8(request) if options.precision == "int8" else load_float(request)
    tokenizer = load_tokenizer(model_order)
    if tokenizer is None:
        ids = random_tokens(int(model.config.vocab_size), 20_000, 0)
    else:
        ids = text_tokens(lambda words: tokenizer(words, add_special_tokens=False)["input_ids"])
    prompts = Prompts(ids, options.prompt_tokens, 0)

    create_ring(folder / "ring", 1 << 20)
    ring = RingWriter(folder / "ring")
    ring.touch()
    generator = Generator(model, ring, Stop(), Lengths(options.prompt_tokens, options.new_tokens, 1))
    bare = _bare(model, options.new_tokens)
    prompt: list[list[list[int]]] = []

    def shared(turn: list[int]) -> list[list[int]]:
        """The prompt of this pair: a new one at every second call, whichever way calls first."""
        if turn[0] % 2 == 0:
            prompt[:] = [prompts.next_batch(1)]
        turn[0] += 1
        gc.collect()
        return prompt[0]

    turn = [0]
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    """Tokens per second of processor time, pair by pair."""

    def ours() -> float:
        batch = shared(turn)
        before = time.process_time()
        done = generator.run(batch)
        spent["ours"].append(options.new_tokens / (time.process_time() - before))
        assert done is not None
        assert done.tokens_per_sequence == options.new_tokens
        return float(options.new_tokens / done.duration_s)

    def theirs() -> float:
        batch = shared(turn)
        before = time.process_time()
        seconds = bare(batch)
        spent["theirs"].append(options.new_tokens / (time.process_time() - before))
        return float(options.new_tokens / seconds)

    print(f"{model_order.title}, {options.precision}, {options.threads} threads, torch {torch.__version__}")
    for _ in range(2):
        ours()
        theirs()
    for rates in spent.values():
        rates.clear()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        wall = compare(ours, theirs, margin=options.margin, most=options.most, report=report_progress)
    finally:
        gc.enable()
        ring.close()
    return wall, interval(list(zip(spent["ours"], spent["theirs"], strict=True)), options.margin, 0.95)


def _bare(model: Any, new_tokens: int) -> Callable[[list[list[int]]], float]:
    """Seconds of a plain generate: the same settings, no criterion, no ring, no clock of ours."""
    import torch

    cuda = model.device.type == "cuda"

    def run(prompt: list[list[int]]) -> float:
        inputs = torch.tensor(prompt, device=model.device)
        mask = torch.ones_like(inputs)
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        output = model.generate(
            inputs, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        if cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        assert output.shape[1] == inputs.shape[1] + new_tokens
        return seconds

    return run


def _model(named: Path | None) -> ModelOrder:
    folder = named or starter_folder(places())
    if folder is None:
        return ModelOrder(ref="random", title="random weights, 135 M", kind="random", config=_STAND_IN)
    return ModelOrder(ref=str(folder), title=folder.name, kind="folder", path=str(folder.resolve()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The transformers engine against a bare generate loop.")
    parser.add_argument("--model", type=Path, help="model folder; otherwise the starter model, or its shape")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16", "float16", "int8"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--most", type=int, default=160, help="pairs at the most")
    parser.add_argument("--cuda", action="store_true", help="on the first GPU")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
