"""What the keys of an experiment file may hold: type, range, choices. The file's reader, its writer and the window's
forms use the same list.

Pure data; any thread.
"""

from __future__ import annotations

from engines.catalogue import engines
from engines.protocol.settings import Setting

MAX_TRIALS = 1000
MAX_SEED = 2**32 - 1
TOP = (
    Setting("name", type="text", maximum=200, example='"precision of SmolLM2"'),
    Setting("seed", type="int", minimum=0, maximum=MAX_SEED, example="7"),
    Setting("models", type="text", maximum=4096, is_list=True, example='["smollm2-135m-instruct"]'),
)
WORKLOAD = (
    Setting("task", type="text", choices=("generate", "answer", "summarise")),
    Setting("prompt_tokens", type="int", minimum=1, maximum=1_000_000, sweep=True, unit="tokens", example="128"),
    Setting("new_tokens", type="int", minimum=1, maximum=100_000, sweep=True, unit="tokens", example="64"),
    Setting("batch_size", type="int", minimum=1, maximum=4096, sweep=True, unit="sequences", example="1"),
    Setting("depth_tokens", type="int", minimum=0, maximum=1_000_000, sweep=True, unit="tokens", example="0"),
    Setting("prompt_file", type="text", maximum=4096, may_be_empty=True, example='"prompts.txt"'),
    Setting("requests", type="int", minimum=1, maximum=10_000, example="3"),
    Setting("window_s", type="float", minimum=0, maximum=3600, unit="seconds", example="5.0"),
    Setting("warmup_requests", type="int", minimum=0, maximum=1000, example="10"),
    Setting("perplexity_tokens", type="int", minimum=0, maximum=10_000_000, unit="tokens", example="1024"),
    Setting("text_tokens", type="int", minimum=0, maximum=100_000, unit="tokens", example="64"),
    Setting("tasks", type="text", maximum=200, is_list=True, example='["gsm8k-sample"]'),
    Setting("task_samples", type="int", minimum=0, maximum=1_000_000, unit="questions", example="50"),
    Setting("idle_s", type="float", minimum=0, maximum=600, unit="seconds", example="2.0"),
    Setting("prefill_energy_s", type="float", minimum=0, maximum=600, unit="seconds", example="5.0"),
)
RUN = (
    Setting(
        "machines",
        type="text",
        maximum=200,
        pattern=r"this(/\S+)?",
        pattern_text='"this" or "this/DEVICE"',
        is_list=True,
        example='["this"]',
    ),
    Setting("trials", type="int", minimum=1, maximum=MAX_TRIALS, example="5"),
    Setting("stop_at_ratio", type="float", minimum=0.001, maximum=1, example="0.02"),
    Setting(
        "stop_metric",
        type="text",
        pattern=r"[a-z][a-z0-9_]*",
        pattern_text="the id of a metric",
        example='"decode_tokens_per_second"',
    ),
    Setting(
        "skip",
        type="text",
        maximum=200,
        pattern=r"[0-9a-f]{8,64}(@\S+)?",
        pattern_text="the hash of a configuration (at least its first 8 digits)",
        is_list=True,
        example="[]",
    ),
    Setting("telemetry_hz", type="float", minimum=0, maximum=20, unit="Hz", example="10.0"),
)
ENGINE = (
    Setting("id", type="text", choices=("auto", *(e.id for e in engines()))),
    Setting("threads", type="int", minimum=0, maximum=1024, example="0"),
    *(setting for engine in engines() for setting in engine.settings),
    Setting("start_method", type="text", choices=("auto", "plain", "template")),
    Setting("memory_limit_bytes", type="int", minimum=64 * 2**20, maximum=2**50, unit="bytes", example="8_000_000_000"),
    Setting("time_limit_s", type="float", minimum=1, maximum=30 * 86400, unit="seconds", example="600.0"),
)
