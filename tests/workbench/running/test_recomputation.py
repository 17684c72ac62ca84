"""Every figure computed a second time from an exported bundle: DuckDB over its Parquet files and plain numpy.

Nothing of `workbench.metrics` takes part in the second computation. A metric that is added without a line here fails.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator

import duckdb
import numpy as np
import pytest

from engines.protocol.records import (
    Artifact,
    ClockPair,
    Environment,
    Evaluation,
    FlopCount,
    MemoryParts,
    Record,
    Step,
    TaskScore,
    Telemetry,
    TrialEnded,
    TrialStarted,
)
from tests.builders import model_loaded
from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import GPU, NO_POWER, SECOND, START_NS, WALL_NS, FakeTrial, records
from workbench.export.records_parquet import export_bundle
from workbench.metrics.assumptions import Assumptions
from workbench.metrics.registry import PER_TRIAL, find
from workbench.running.intake import evaluate
from workbench.running.wall_meter import import_wall_meter
from workbench.store.local import LocalStore
from workbench.store.operations import Ingest

ASSUMED = Assumptions(watts_per_core=11.0, price_per_kwh=0.31, carbon_grams_per_kwh=412.0, peak_flops=9.9e14)
CPU = FakeTrial(seed=21, batch_size=2)
ON_GPU = FakeTrial(
    seed=22,
    device="gpu",
    tokens_per_second=500.0,
    prefill_s=0.02,
    requests=160,
    idle_s=3.0,
    prefills_s=3.0,
    precision="int8",
)
"""Long enough for every percentile."""


def training() -> tuple[Record, ...]:
    clock = ClockPair(WALL_NS, START_NS)
    stream: list[Record] = [
        TrialStarted(clock=clock, worker_pid=1, t_ns=START_NS, threads=1),
        model_loaded(
            device=f"cuda:{GPU.removeprefix('nvml.')}",
            details={"trained_parameters": "160"},
            t_ns=START_NS,
        ),
        *(
            Evaluation(
                name=name, nll_sum=loss, tokens=64, text_bytes=256, data_name="text", data_hash="0", t_ns=START_NS
            )
            for name, loss in (("held_out_before", 200.0), ("held_out_after", 150.0))
        ),
        Evaluation(
            name="test", split="test", step=5, nll_sum=99.0, tokens=33, text_bytes=100, data_name="text", data_hash="0"
        ),
        Environment(facts={"workload.target_loss": "2.5"}),
        MemoryParts(
            weights_bytes=4000,
            gradients_bytes=640,
            optimiser_bytes=1280,
            activations_bytes=900,
            temporary_bytes=80,
            peak_bytes=6900,
            method="saved_tensors",
        ),
        FlopCount(formula_flops=3e9),
        Artifact(artifact="adapter", path="/a", bytes=700, sha256=""),
        Telemetry(
            source=GPU,
            times_ns=[START_NS + i * SECOND // 4 for i in range(24)],
            columns={"energy_joules": [1e6 + 60.0 * i + i * i for i in range(24)]},
            t_ns=START_NS,
        ),
    ]
    for index in range(5):
        start = START_NS + index * SECOND
        stream.append(
            Step(
                index=index,
                warmup=index == 0,
                start_ns=start,
                end_ns=start + SECOND // 2 + index * 1000,
                tokens=512 + index,
                samples=4,
                loss=3.0 - index**2 / 10,
                data_s=0.01 * index,
                t_ns=start + SECOND,
            )
        )
    end = START_NS + 6 * SECOND
    stream.append(TrialEnded(outcome="completed", clock=ClockPair(WALL_NS + 6 * SECOND, end), t_ns=end))
    return tuple(
        r.__class__(**{f: getattr(r, f) for f in r.__struct_fields__} | {"seq": i}) for i, r in enumerate(stream, 1)
    )


def with_scores(stream: tuple[Record, ...]) -> tuple[Record, ...]:
    """The same trial, which also answered questions before it ended."""
    scores = [
        TaskScore(task="gsm8k-sample", measure="exact_match", score=0.04, samples=95, chance=0.0, data_name="a"),
        TaskScore(task="hellaswag-sample", measure="acc_norm", score=0.31, samples=100, chance=0.25, data_name="b"),
        TaskScore(task="truthfulqa-sample", measure="acc", score=0.28, samples=100, chance=0.22, data_name="c"),
        TaskScore(task="lm-eval:arc_easy", measure="acc_norm", score=0.5, samples=40, data_name="d"),
    ]
    whole = [*stream[:-1], *scores, stream[-1]]
    return tuple(
        r.__class__(**{f: getattr(r, f) for f in r.__struct_fields__} | {"seq": i, "t_ns": r.t_ns or stream[-1].t_ns})
        for i, r in enumerate(whole, 1)
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("recomputation")
    store = LocalStore(folder / "store.duckdb")
    streams = {"t-cpu": with_scores(records(CPU)), "t-gpu": records(ON_GPU), "t-train": training()}
    add_experiment(store, *streams)
    for trial, stream in streams.items():
        store.execute(Ingest(trial=trial, lines=lines(stream)))
        evaluate(store, trial, ASSUMED)
    start_s = WALL_NS // SECOND
    rows = [f"{start_s + i},{150 + 20 * math.sin(i):.3f}" for i in range(-3, 60)]
    (folder / "meter.csv").write_text("epoch,watts\n" + "\n".join(rows))
    import_wall_meter(store, "t-cpu", folder / "meter.csv", assumptions=ASSUMED)
    export_bundle(store, "", folder / "bundle")
    store.close()
    connection = duckdb.connect()
    for file in (folder / "bundle").glob("*.parquet"):
        connection.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM read_parquet('{file}')")
    yield connection
    connection.close()


class Trial:
    """What the bundle says about one trial, by SQL."""

    def __init__(self, bundle: duckdb.DuckDBPyConnection, trial: str) -> None:
        self.bundle, self.trial = bundle, trial
        bundle.execute(
            "CREATE OR REPLACE TEMP VIEW own AS SELECT * FROM requests "
            f"WHERE trial = '{trial}' AND NOT warmup ORDER BY start_ns"
        )
        bundle.execute(
            "CREATE OR REPLACE TEMP VIEW stamps AS "
            "SELECT o.index, o.start_ns, o.end_ns, k.stamp - o.first_stamp AS place, "
            "k.t_ns, o.stamps FROM own o JOIN (SELECT stamp, arg_max(t_ns, seq) AS t_ns FROM tokens "
            f"WHERE trial = '{trial}' GROUP BY stamp) k "
            "ON k.stamp BETWEEN o.first_stamp AND o.first_stamp + o.stamps - 1"
        )
        self.start, self.end = self.row("SELECT min(start_ns), max(end_ns) FROM own")
        if self.start is not None:
            self.T = (self.end - self.start) / 1e9
            self.requests, self.tokens, self.batch = self.row(
                "SELECT count(*), sum(generated_tokens)::BIGINT, any_value(batch_size) FROM own"
            )
        self.model = self.said("model_loaded")
        (facts,) = self.row(
            f"SELECT facts FROM trials LEFT JOIN environments USING (environment) WHERE trial = '{trial}'"
        )
        self.facts = json.loads(facts or "{}")

    def row(self, sql: str) -> tuple:
        return self.bundle.execute(sql).fetchone()

    def one(self, sql: str) -> float:
        return float(self.row(sql)[0])

    def said(self, kind: str, where: str = "true") -> dict:
        found = self.row(
            f"SELECT record FROM records WHERE trial = '{self.trial}' AND kind = '{kind}' AND {where} ORDER BY seq DESC"
        )
        return json.loads(found[0]) if found else {}

    def gaps(self) -> np.ndarray:
        sql = "SELECT t_ns - lag(t_ns) OVER (PARTITION BY index ORDER BY place) AS gap FROM stamps"
        return np.array([g for (g,) in self.bundle.execute(sql).fetchall() if g is not None]) / 1e9

    def span(self, name: str) -> tuple[int, int]:
        return self.row(f"SELECT start_ns, end_ns FROM phases WHERE trial = '{self.trial}' AND name = '{name}'")

    def readings(self, source: str, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        found = self.bundle.execute(
            f"SELECT t_ns, value FROM samples WHERE trial = '{self.trial}' AND source = '{source}' "
            f"AND quantity = '{quantity}' AND value IS NOT NULL ORDER BY t_ns"
        ).fetchnumpy()
        return found["t_ns"], found["value"]

    def at(self, source: str, quantity: str, t_ns: int) -> float:
        times, values = self.readings(source, quantity)
        return float(np.interp((t_ns - times[0]) / 1e9, (times - times[0]) / 1e9, values))

    def gain(self, source: str, quantity: str, start: int, end: int) -> float:
        return self.at(source, quantity, end) - self.at(source, quantity, start)

    def mean(self, source: str, quantity: str) -> float:
        """Time-weighted, of the window's own readings, the outermost ones held."""
        times, values = self.readings(source, quantity)
        inner = [(int(t), float(v)) for t, v in zip(times, values, strict=True) if self.start <= t <= self.end]
        return self._area([(self.start, inner[0][1]), *inner, (self.end, inner[-1][1])]) / self.T

    def process_memory(self) -> list[tuple[int, float]]:
        """In the window: the resident set less the median of its differences from the proportional one."""
        pairs = [
            self.at("proc.tree", "rss_bytes", int(time)) - float(value)
            for time, value in zip(*self.readings("proc.tree", "pss_bytes"), strict=True)
            if self.start <= time <= self.end
        ]
        rows = zip(*self.readings("proc.tree", "rss_bytes"), strict=True)
        return [(int(t), float(v) - float(np.median(pairs))) for t, v in rows if self.start <= t <= self.end]

    def integral(self, source: str, quantity: str) -> float:
        """Over the window, between readings at its ends."""
        times, values = self.readings(source, quantity)
        inner = [(int(t), float(v)) for t, v in zip(times, values, strict=True) if self.start < t < self.end]
        ends = [(t, self.at(source, quantity, t)) for t in (self.start, self.end)]
        return self._area([ends[0], *inner, ends[1]])

    def _area(self, points: list[tuple[int, float]]) -> float:
        """Trapezoids summed one by one."""
        return sum((b[0] - a[0]) / 1e9 * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))

    def largest(self, source: str, quantity: str, start: int, end: int) -> float:
        times, values = self.readings(source, quantity)
        return float(values[(times >= start) & (times <= end)].max())


def speed_and_latency(t: Trial) -> dict[str, float]:
    gaps = t.gaps()
    first = "(SELECT min(t_ns - start_ns) FILTER (place = 0) / 1e9 AS ttft FROM stamps GROUP BY index)"
    decode_s = "(SELECT sum(s) FROM (SELECT (max(t_ns) - min(t_ns)) / 1e9 AS s FROM stamps GROUP BY index))"
    return {
        "decode_tokens_per_second": t.one(f"SELECT (SELECT sum(batch_size * (stamps - 1)) FROM own) / {decode_s}"),
        "prefill_tokens_per_second": t.one(
            f"SELECT (SELECT sum(prompt_tokens * batch_size) FROM own) / (SELECT sum(ttft) FROM {first})"
        ),
        "throughput_tokens_per_second": t.one("SELECT sum(generated_tokens) / (sum(end_ns - start_ns) / 1e9) FROM own"),
        "load_s": t.model["load_s"],
        "first_call_s": t.one(
            f"SELECT arg_min(end_ns - start_ns, start_ns) / 1e9 FROM requests WHERE trial = '{t.trial}'"
        ),
        "time_to_first_token_s": t.one(f"SELECT avg(ttft) FROM {first}"),
        "time_to_first_token_median_s": t.one(f"SELECT median(ttft) FROM {first}"),
        "inter_token_latency_s": float(gaps.mean()),
        **{
            f"inter_token_latency_p{name}_s": float(np.quantile(gaps, q))
            for name, q, needed in (("50", 0.5, 20), ("90", 0.9, 100), ("99", 0.99, 1000), ("999", 0.999, 10_000))
            if len(gaps) >= needed
        },
        "time_per_output_token_s": t.one(
            "SELECT avg(each) FROM (SELECT (any_value(end_ns) - min(t_ns)) / 1e9 / (any_value(stamps) - 1) AS each "
            "FROM stamps GROUP BY index)"
        ),
        "tail_s": t.one(
            "SELECT avg(e - l) / 1e9 FROM (SELECT any_value(end_ns) e, max(t_ns) l FROM stamps GROUP BY index)"
        ),
        "latency_s": t.one("SELECT avg(end_ns - start_ns) / 1e9 FROM own"),
    }


def model_and_quality(t: Trial) -> dict[str, float]:
    said = t.said("evaluation")
    loss = said["nll_sum"] / said["tokens"]
    details = {k: float(v) for k, v in t.model["details"].items()}
    prompt, made = t.row("SELECT any_value(prompt_tokens), any_value(stamps) FROM own")
    positions = range(1, prompt + made)
    flops = sum(2 * t.model["parameters"] + 4 * details["layers"] * details["attention_width"] * i for i in positions)
    rate = t.requests * t.batch * flops / t.one("SELECT sum(end_ns - start_ns) / 1e9 FROM own")
    return {
        "perplexity": math.exp(loss),
        "bits_per_byte": said["nll_sum"] / math.log(2) / said["text_bytes"],
        "above_chance_ratio": 1 - loss / math.log(details["vocabulary"]),
        "tensor_bytes": t.model["tensor_bytes"],
        "nominal_bits_per_weight": t.model["nominal_bits"],
        "stored_bits_per_weight": t.model["stored_bits"],
        "kv_cache_bytes_per_token": float(t.facts["cache.bytes_per_token"]),
        "cache_bytes": float(t.facts["cache.bytes"]) / float(t.facts["cache.sequences"]),
        "model_flops_per_second": rate,
        "model_flops_utilisation_ratio": rate / ASSUMED.peak_flops,
    }


def accuracy(t: Trial) -> dict[str, float]:
    said = t.bundle.execute(
        "SELECT record->>'task', (record->>'score')::DOUBLE, (record->>'samples')::INT, (record->>'chance')::DOUBLE "
        f"FROM records WHERE trial = '{t.trial}' AND kind = 'task_score'"
    ).fetchall()
    scores = {task: score for task, score, _, _ in said}
    told = [(score, n, chance) for _, score, n, chance in said if chance is not None]
    variances = [(p := (s * n + 2) / (n + 4)) * (1 - p) / (n + 4) for s, n, _ in told]
    return {
        "accuracy_gsm8k_sample_ratio": scores["gsm8k-sample"],
        "accuracy_hellaswag_sample_ratio": scores["hellaswag-sample"],
        "accuracy_truthfulqa_sample_ratio": scores["truthfulqa-sample"],
        "accuracy:lm-eval:arc_easy": scores["lm-eval:arc_easy"],
        "accuracy_mean_ratio": sum(scores.values()) / 4,
        "accuracy_above_chance_errors": sum(s - c for s, _, c in told) / math.sqrt(sum(variances)),
    }


def memory(t: Trial) -> dict[str, float]:
    gpu = t.trial == "t-gpu"
    own = t.process_memory()
    held = [(t.start, own[0][1]), *own, (t.end, own[-1][1])]
    mean = t.mean(GPU, "memory_used_bytes") if gpu else t._area(held) / t.T
    whole = float(t.facts["gpu.0.memory_total_bytes" if gpu else "memory.total_bytes"])
    found = {
        "memory_mean_bytes": mean,
        "memory_mean_ratio": mean / whole,
        "memory_pss_peak_bytes": max(*(value for _, value in own), t.largest("proc.tree", "pss_bytes", t.start, t.end)),
        "memory_rss_peak_bytes": t.largest("proc.tree", "rss_bytes", t.start, t.end),
        "memory_lifetime_peak_bytes": t.said("memory_peak", "record LIKE '%rusage%'")["peak_bytes"],
        "steal_ratio": t.one(
            f"SELECT avg(value) FROM samples WHERE trial = '{t.trial}' AND quantity = 'steal_ratio' "
            f"AND t_ns BETWEEN {t.start} AND {t.end}"
        ),
    }
    if gpu:
        _, values = t.readings(GPU, "memory_used_bytes")
        found |= {
            "allocator_peak_bytes": t.said("memory_peak", "record LIKE '%allocator%'")["peak_bytes"],
            "device_process_peak_bytes": t.largest(GPU, "process_memory_bytes", 0, t.end),
            "device_memory_change_bytes": t.largest(GPU, "memory_used_bytes", t.start, t.end) - values[0],
        }
    return found


def energy(t: Trial) -> dict[str, float]:
    joules = t.gain(GPU, "energy_joules", t.start, t.end)
    idle = t.span("idle")
    level = t.gain(GPU, "energy_joules", *idle) / ((idle[1] - idle[0]) / 1e9)
    net = joules - level * t.T
    s, e = t.span("prefill_energy")
    first, last, count = t.row(
        f"SELECT min(start_ns), max(end_ns), count(*) FROM phases WHERE trial = '{t.trial}' AND name = 'prefill' "
        f"AND start_ns >= {s} AND end_ns <= {e}"
    )
    prefill = t.gain(GPU, "energy_joules", first, last) / count
    latency = t.one("SELECT avg(end_ns - start_ns) / 1e9 FROM own")
    after_first = t.one("SELECT sum(batch_size * (stamps - 1)) FROM own")
    return {
        "energy_joules": joules,
        "power_mean_watts": joules / t.T,
        "energy_per_token_joules": joules / t.tokens,
        "energy_per_request_joules": joules / t.requests,
        "tokens_per_joule": t.tokens / joules,
        "energy_delay_product": joules / t.requests * latency,
        "idle_power_watts": level,
        "energy_net_joules": net,
        "energy_net_per_token_joules": net / t.tokens,
        "energy_net_per_request_joules": net / t.requests,
        "prefill_energy_joules": prefill,
        "decode_energy_per_token_joules": (joules - t.requests * prefill) / after_first,
        "utilisation_ratio": t.mean(GPU, "utilisation_ratio"),
        "cost_per_million_tokens": joules / t.tokens * 1e6 / 3.6e6 * 0.31,
        "co2e_per_million_tokens_grams": joules / t.tokens * 1e6 / 3.6e6 * 412.0,
    }


def estimates_of_a_processor(t: Trial) -> dict[str, float]:
    spent = t.gain("proc.tree", "cpu_seconds", t.start, t.end)
    return {
        "utilisation_ratio": spent / t.T / CPU.threads,
        "energy_estimate_joules": spent * 11.0,
        "energy_estimate_per_token_joules": spent * 11.0 / t.tokens,
        "cost_per_million_tokens": spent * 11.0 / t.tokens * 1e6 / 3.6e6 * 0.31,
        "co2e_per_million_tokens_grams": spent * 11.0 / t.tokens * 1e6 / 3.6e6 * 412.0,
        "wall_energy_joules": t.integral("wall_meter", "power_watts"),
    }


def trained(t: Trial) -> dict[str, float]:
    tokens, samples, spent, count = t.row(
        "SELECT sum((record->>'tokens')::BIGINT), sum((record->>'samples')::BIGINT), "
        "sum((record->>'end_ns')::BIGINT - (record->>'start_ns')::BIGINT) / 1e9, count(*) FROM records "
        f"WHERE trial = '{t.trial}' AND kind = 'step' AND NOT (record->>'warmup')::BOOLEAN"
    )
    start, end = t.row(
        "SELECT min((record->>'start_ns')::BIGINT), max((record->>'end_ns')::BIGINT) FROM records "
        f"WHERE trial = '{t.trial}' AND kind = 'step' AND NOT (record->>'warmup')::BOOLEAN"
    )
    joules = t.gain(GPU, "energy_joules", start, end)
    return {
        "energy_joules": joules,
        "energy_per_step_joules": joules / count,
        "energy_per_sample_joules": joules / samples,
        "energy_per_training_token_joules": joules / tokens,
        "model_flops_per_second": 3e9 * count / spent,
        "model_flops_utilisation_ratio": 3e9 * count / spent / ASSUMED.peak_flops,
        "power_mean_watts": joules / ((end - start) / 1e9),
        "training_tokens_per_second": tokens / spent,
        "training_samples_per_second": samples / spent,
        "training_tokens_per_parameter_second": tokens / t.model["parameters"] / spent,
        "training_samples_per_parameter_second": samples / t.model["parameters"] / spent,
        "training_latency_s": spent / count,
        "trained_tokens": t.one(
            f"SELECT sum((record->>'tokens')::BIGINT) FROM records WHERE trial = '{t.trial}' AND kind = 'step'"
        ),
        "tensor_bytes": 4000.0,
        "nominal_bits_per_weight": 32.0,
        "trained_parameters": 160.0,
        "trained_ratio": 160.0 / t.model["parameters"],
        "adapter_bytes": t.said("artifact")["bytes"],
        **{f"training_{part}": value for part, value in t.said("memory_parts").items() if part.endswith("_bytes")},
        **_losses(t),
        **_to_the_target(t),
    }


def _losses(t: Trial) -> dict[str, float]:
    median, loss, waited, worked = t.row(
        "SELECT median((record->>'end_ns')::BIGINT - (record->>'start_ns')::BIGINT) / 1e9, "
        "avg((record->>'loss')::DOUBLE), "
        "sum((record->>'data_s')::DOUBLE), sum((record->>'end_ns')::BIGINT - (record->>'start_ns')::BIGINT) / 1e9 "
        f"FROM records WHERE trial = '{t.trial}' AND kind = 'step' AND NOT (record->>'warmup')::BOOLEAN"
    )
    before, after = t.row(
        "SELECT max((record->>'nll_sum')::DOUBLE) / 64, min((record->>'nll_sum')::DOUBLE) / 64 "
        f"FROM records WHERE trial = '{t.trial}' AND kind = 'evaluation' AND record LIKE '%held_out%'"
    )
    return {
        "training_step_s": median,
        "training_loss": loss,
        "training_data_ratio": waited / (waited + worked),
        "held_out_loss_before": before,
        "held_out_loss": after,
        "held_out_perplexity": math.exp(after),
        "held_out_bits_per_byte": after * 64 / math.log(2) / 256,
        "held_out_loss_best": after,
        "held_out_best_step": 5.0,
        "test_loss": 3.0,
        "test_perplexity": math.exp(3.0),
        "test_bits_per_byte": 99.0 / math.log(2) / 100,
    }


def _to_the_target(t: Trial) -> dict[str, float]:
    """3.125 before, 2.34375 after 5 steps: 2.5 lies at 4 steps."""
    tokens, seconds, share = t.row(
        "SELECT sum((record->>'tokens')::BIGINT) FILTER (i < 4), sum(data + spent) FILTER (i < 4), "
        "sum(spent) FILTER (i < 4) / sum(spent) FROM (SELECT record, (record->>'index')::INT AS i, "
        "coalesce((record->>'data_s')::DOUBLE, 0) AS data, "
        "((record->>'end_ns')::BIGINT - (record->>'start_ns')::BIGINT) / 1e9 AS spent "
        f"FROM records WHERE trial = '{t.trial}' AND kind = 'step')"
    )
    end = START_NS + 4 * SECOND + SECOND // 2 + 4000
    return {
        "tokens_to_loss": tokens,
        "time_to_loss_s": seconds,
        "energy_to_loss_joules": t.gain(GPU, "energy_joules", START_NS, end) * share,
    }


PARTS: dict[str, tuple[Callable[[Trial], dict[str, float]], ...]] = {
    "t-cpu": (speed_and_latency, model_and_quality, accuracy, memory, estimates_of_a_processor),
    "t-gpu": (speed_and_latency, model_and_quality, memory, energy),
    "t-train": (trained,),
}


@pytest.mark.parametrize("trial", PARTS)
def test_that_every_figure_agrees_with_a_computation_of_its_own(bundle: duckdb.DuckDBPyConnection, trial: str) -> None:
    own = Trial(bundle, trial)
    expected: dict[str, float] = {}
    for part in PARTS[trial]:
        expected |= part(own)
    stored = dict(
        bundle.execute(f"SELECT metric, value FROM metrics WHERE trial = '{trial}' AND value IS NOT NULL").fetchall()
    )
    assert set(stored) == set(expected)
    for metric, value in expected.items():
        assert stored[metric] == pytest.approx(value, rel=1e-9), metric


def test_that_every_metric_has_a_value_in_one_of_these_trials(bundle: duckdb.DuckDBPyConnection) -> None:
    valued = {m for (m,) in bundle.execute("SELECT DISTINCT metric FROM metrics WHERE value IS NOT NULL").fetchall()}
    assert {m.id for m in PER_TRIAL} == valued & {m.id for m in PER_TRIAL}


@pytest.mark.parametrize("trial", ["t-cpu", "t-gpu"])
def test_that_what_a_figure_is_made_of_is_counted_right(bundle: duckdb.DuckDBPyConnection, trial: str) -> None:
    """The `n` of a figure counts what its metric says it counts."""
    t = Trial(bundle, trial)
    (first,) = t.row("SELECT sum(batch_size) FROM own")
    (prompts,) = t.row("SELECT sum(prompt_tokens * batch_size) FROM own")
    counted = {
        "requests": {t.requests},
        "requests or steps": {t.requests},
        "tokens": {t.tokens, t.tokens - first, t.said("evaluation")["tokens"]},
        "prompt tokens": {prompts},
        "gaps": {len(t.gaps())},
        "parameters": {t.model["parameters"]},
        "questions": {335, 295, 100, 95, 40},
    }
    rows = bundle.execute(f"SELECT metric, n FROM metrics WHERE trial = '{trial}' AND n IS NOT NULL").fetchall()
    for metric, n in rows:
        known = find(metric)
        if known.counts in counted:
            assert n in counted[known.counts], metric
    within = f"trial = '{trial}' AND t_ns BETWEEN {t.start} AND {t.end}"
    polled = {"memory_mean_bytes": (GPU, "memory_used_bytes"), "utilisation_ratio": (GPU, "utilisation_ratio")}
    if trial == "t-cpu":
        polled = dict.fromkeys(("memory_mean_bytes", "memory_pss_peak_bytes"), ("proc.tree", "rss_bytes"))
    for metric, (source, quantity) in polled.items():
        (readings,) = t.row(
            f"SELECT count(*) FROM samples WHERE {within} AND source = '{source}' AND quantity = '{quantity}'"
        )
        assert dict(rows)[metric] == readings > 0


def test_that_what_has_no_value_has_a_reason_and_no_zero(bundle: duckdb.DuckDBPyConnection) -> None:
    rows = bundle.execute("SELECT metric, reason FROM metrics WHERE value IS NULL").fetchall()
    assert rows
    assert all(reason.endswith(".") for _, reason in rows)
    (reason,) = bundle.execute(
        "SELECT reason FROM metrics WHERE trial = 't-cpu' AND metric = 'energy_joules'"
    ).fetchone()
    assert reason == NO_POWER
