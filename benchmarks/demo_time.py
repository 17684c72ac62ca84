"""`make demo` on a warm cache: to the first finished trial, to the end, and what a trial costs besides its work.

Runs the demo's experiment headless in a home of its own that shares this user's starter model (fetched where needed).
About five minutes on two cores.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from engines.protocol.places import HOME_VARIABLE, places
from workbench.models.starter import ensure_starter
from workbench.running.demo import demo_experiment
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, Query
from workbench.units import format_duration

OWN_WORK = ("load", "warmup", "measure", "evaluate")


def main() -> int:
    """Exit code 1 where a trial did not complete."""
    starter = ensure_starter(places(), lambda _fraction, text: print(text, file=sys.stderr))
    home = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    os.environ[HOME_VARIABLE] = str(home)
    here = places()
    here.starter_model.parent.mkdir(parents=True)
    shutil.copytree(starter, here.starter_model, copy_function=os.link)
    try:
        return _measure()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _measure() -> int:
    began = time.monotonic()
    first = 0.0
    with Workbench(client="benchmark") as workbench:
        plan = workbench.plan(demo_experiment())
        workbench.follow()
        experiment = workbench.run(plan)
        while True:
            time.sleep(0.5)
            trials = workbench.store.execute(GetExperiment(experiment=experiment)).trials
            ended = [t for t in trials if t.verdict is not None]
            if ended and not first:
                first = time.monotonic() - began
            if len(ended) == len(trials):
                break
        total = time.monotonic() - began
        rows = workbench.store.execute(Query(sql=_COST)).rows
        from engines.protocol.client import connect_local
        from engines.protocol.messages import Shutdown

        with connect_local(workbench.places, start=False) as client:
            client.call(Shutdown())
    print(f"to the first finished trial  {format_duration(first)}")
    print(f"to the end of {len(trials)} trials       {format_duration(total)} (the plan said {plan.expected_s:.0f} s)")
    for title, whole, own in rows:
        print(f"{title}: {float(str(whole)):.1f} s a trial, of which {float(str(own)):.1f} s its own work")
    besides = mean(float(str(whole)) - float(str(own)) for _, whole, own in rows)
    between = total - sum(float(t.duration_s or 0) for t in trials)
    print(f"besides its own work         {besides:.1f} s a trial (process, imports, unloading)")
    print(f"outside of all trials        {between:.1f} s (planning, starting, storing, figures)")
    return 0 if all(t.outcome == "completed" for t in trials) else 1


_COST = f"""
SELECT t.title, avg(t.duration_s), avg(p.own_s)
FROM trials t JOIN (
    SELECT trial, sum(end_ns - start_ns) / 1e9 AS own_s FROM phases WHERE name IN {OWN_WORK} GROUP BY trial
) p USING (trial)
GROUP BY t.title ORDER BY t.title
"""

if __name__ == "__main__":
    raise SystemExit(main())
