"""Watching a trial from outside: sources of readings and the thread that samples them. Runs in the runner.

- `base`: what a source is.  - `procfs`: text of /proc to numbers.
- `proc_tree`, `proc_host`, `rapl`, `hwmon`, `nvml`: the sources.
- `sources`: which of them a trial needs, and what this machine has.
- `sampler`: one thread that reads them at the trial's rate.

To add a source: a module with a class that follows `base.Source`, one line in `sources`.
"""
