"""The runner: one small long-lived process per user and machine that owns what must outlive a window.

- `serve`: start, single instance, detaching, the end. `settings`: what can be set about it.
- `server`: the Unix socket and its connections. `runner`: queue, leases and running trials as one object.
- `queue`: the queue on disk. `leases`: which trials may run side by side. `archive`: all spools of this user.
- `trial`: one running trial from its worker's start to its last record, with `launch` (limits set before the worker's
  first instruction), `lines` (pipes to records), `processors`, `leftovers` (what a worker leaves behind), `outcome`.

One thread runs an asyncio loop, the process's main thread, because a parent-death signal belongs to the thread that
started the child. Telemetry samples on a thread of its own; slow probes run on the loop's executor. No torch, no Qt.
"""
