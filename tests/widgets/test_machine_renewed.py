"""What follows a set up from the window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engines.protocol.places import Places
from widgets.machines import known as module
from workbench.machines.machine import Machine, Ssh, find


@pytest.mark.parametrize("set_up", [True, False])
def test_that_the_runner_is_renewed_after_the_old_link_is_gone_and_before_a_new_one(
    home: Places, monkeypatch: pytest.MonkeyPatch, set_up: bool
) -> None:
    did: list[str] = []
    kept = Machine(id="lab", title="Lab", reach=Ssh(host="lab", python="/e/new/bin/python"))

    def renew(machine: Machine, places: Places) -> str:
        assert find(places, "lab") == machine == kept
        did.append("renewed")
        return ""

    def run(work: Any, success: Any, _failure: Any, receiver: object = None) -> None:
        success(work())

    bridge = SimpleNamespace(run=run, say_link=lambda link: did.append(f"link {link.machine}"))
    workbench = SimpleNamespace(forget=lambda machine: did.append(f"forgot {machine}"))
    toasts = SimpleNamespace(error=did.append)
    services = SimpleNamespace(places=home, workbench=workbench, bridge=bridge, toasts=toasts)
    monkeypatch.setattr(module, "renew_runner", renew)
    machines = module.KnownMachines(services)  # type: ignore[arg-type]
    assert machines.set_up(kept) if set_up else machines.keep(kept)
    assert did == ["forgot lab", *["renewed"] * set_up, "link lab"]
