"""Whether the hub answers is known in seconds, also where nobody says no."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from engines.worker import hub


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(403)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    hub.why_unreachable.cache_clear()
    yield
    hub.why_unreachable.cache_clear()


def at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}/")


def test_that_a_hub_that_says_no_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            at(monkeypatch, server.server_port)
            monkeypatch.setattr(hub, "_WAIT_S", 60.0)
            assert hub.why_unreachable() == ""
        finally:
            server.shutdown()
            thread.join()


def test_that_nobody_there_is_told_in_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at(monkeypatch, free.getsockname()[1])  # bound and not listening: refused
        monkeypatch.setattr(hub, "_WAIT_S", 60.0)
        assert hub.why_unreachable() == "Connection refused"
    assert hub.hub_name().startswith("127.0.0.1:")


def test_that_silence_is_waited_for_no_longer_than_stated_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        at(monkeypatch, silent.getsockname()[1])
        monkeypatch.setattr(hub, "_WAIT_S", 0.2)
        first = hub.why_unreachable()
        assert "timed out" in first or "no answer" in first
        monkeypatch.setattr(hub, "_ask", lambda: pytest.fail("asked twice"))
        assert hub.why_unreachable() == first


def test_that_an_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    monkeypatch.setattr(hub, "_WAIT_S", 60.0)
    assert "nonsense" in hub.why_unreachable()
    assert hub.hub_name() == "nonsense"


def test_that_working_offline_stops_the_hubs_libraries_from_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    hub.work_offline()
    assert constants.is_offline_mode()
    with pytest.raises(OSError, match=r"reach|[Oo]ffline"):
        datasets.load_dataset("nobody/nothing")
