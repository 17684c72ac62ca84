"""Orders that earlier versions wrote are still read: spools, the queue's file, what a store and bundles keep."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.protocol.codec import decode_order, encode_order
from engines.protocol.old_orders import upgraded
from engines.protocol.orders import Inference, Training, TrialOrder
from engines.protocol.queue_file import decode_queue
from tests.engines.runner_harness import make_order

OLD = """{"trial":"t-1","experiment":"e-1","store":"s-1","configuration":"ab12@cpu","title":"Tiny · int8","block":0,
"position":0,"total":2,"seed":7,"experiment_title":"old","color":0,
"model":{"ref":"tiny","title":"Tiny","kind":"folder","path":"/m","fingerprint":"f0"},
"techniques":[{"id":"precision.int8"},{"id":"kv_cache.full"}],
"workload":{"task":"generate","prompt_tokens":20,"new_tokens":8,"batch_size":2,"depth_tokens":0,"prompt_file":"",
"prompt_file_hash":"","requests":3,"window_s":5.0,"warmup_requests":10,"perplexity_tokens":0,"text_tokens":0,
"tasks":[],"task_samples":0,"idle_s":null,"prefill_energy_s":null},
"engine":{"id":"transformers","threads":2,"attention":"eager","batch_tokens":2048,"micro_batch_tokens":512,
"flash_attention":"auto","gpu_layers":-1,"memory_map":true,"start_method":"template"},
"device":"cpu","telemetry":{"enabled":true,"rate_hz":10.0,"turns_s":0.0},"limits":{},"expected_s":12.5,
"allow_network":false}"""
"""As version 1.x wrote it, to the letter."""


def old(**engine: object) -> bytes:
    order = json.loads(OLD)
    order["engine"] = engine
    return json.dumps(order).encode()


def test_that_an_old_order_is_the_same_order_in_the_new_form() -> None:
    order = decode_order(OLD.encode())
    assert (order.inference.prompt_tokens, order.inference.batch_size) == (20, 2)
    assert (order.engine.id, order.engine.threads, order.engine.start_method) == ("transformers", 2, "template")
    assert order.engine.settings == {"attention": "eager"}, "of the settings those of its own engine"
    assert (order.configuration, order.identity) == ("ab12@cpu", 2), "its hash was made by the rules of its time"


def test_that_settings_an_old_order_left_out_are_those_of_its_time() -> None:
    order = decode_order(old(id="llama.cpp", batch_tokens=64))
    assert order.engine.settings == {
        "batch_tokens": 64,
        "micro_batch_tokens": 512,
        "flash_attention": "auto",
        "gpu_layers": -1,
        "memory_map": True,
    }
    assert decode_order(old()).engine.settings == {"attention": "sdpa"}


@pytest.mark.parametrize("workload", [Inference(batch_size=3), Training(steps=5)])
def test_that_an_order_of_today_comes_back_as_it_was(workload: Inference | Training) -> None:
    order = make_order("t1", workload=workload)
    assert decode_order(encode_order(order)) == order
    assert order.identity == 3


@pytest.mark.parametrize("value", [None, 3, [], {}, {"engine": 3, "workload": "x"}])
def test_that_what_is_no_order_is_left_alone(value: object) -> None:
    assert upgraded(value) == value
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(upgraded(value), TrialOrder)


def test_that_a_queue_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    waiting = {"order": json.loads(OLD), "submitted_wall_ns": 5}
    file = decode_queue(json.dumps({"version": 1, "waiting": [waiting], "running": [waiting]}).encode())
    assert [w.order.engine.settings for w in (*file.waiting, *file.running)] == [{"attention": "eager"}] * 2
    with pytest.raises(msgspec.MsgspecError):
        decode_queue(b"[1]")


def test_that_work_of_another_kind_is_not_taken_for_inference() -> None:
    training = make_order("t1", workload=Training())
    assert training.training == Training()
    with pytest.raises(TypeError, match="training, not inference"):
        _ = training.inference
    with pytest.raises(TypeError, match="inference, not training"):
        _ = make_order("t1").training
