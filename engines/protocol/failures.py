"""Why trials fail, in one table: what each kind of `TrialEnded.failure` says of the trials that come after.

"permanent": the configuration's own, and the same at the next try: its other waiting trials are not tried. "machine":
whatever runs next fails too, so the queue pauses. "chance": the next trial may go well, of this configuration too.
"""

from __future__ import annotations

from typing import Literal

Cause = Literal["permanent", "machine", "chance"]

CAUSES: dict[str, Cause] = {
    "model": "permanent",
    "technique": "permanent",
    "package": "permanent",
    "order": "permanent",
    "disk_full": "machine",
    "disk_error": "machine",
    "out_of_memory": "chance",
    "killed": "chance",
    "engine": "chance",
    "fetch": "chance",
    "diverged": "chance",
    "runner": "chance",
    "runner_died": "chance",
    "node_failed": "chance",
    "job_preempted": "chance",
    "model_not_trained": "chance",
    "model_not_kept": "chance",
}
"""Every kind there is. "model": this engine cannot load or run it; "technique": does not apply; "package": is missing;
"order": asks for what cannot be; "disk_full", "disk_error": of the runner's own folder; "killed": nobody knows by whom;
"engine": crashed or raised; "fetch": did not come from the hub; "diverged": training did, with this seed;
"runner": made a mistake; "runner_died";
"node_failed", "job_preempted": of a cluster's job that the trial ran in;
"model_not_trained", "model_not_kept": not run, because the trial that makes its model did not leave one."""


def cause(failure: str) -> Cause:
    """Of a kind that a newer runner or worker says: "chance"."""
    return CAUSES.get(failure, "chance")
