"""What a worker can do with a loaded model: one class for each kind of work, found by the tag of the order's workload.

A class has `WEIGHTS` (its parts in order, for progress), is made of the engine and what the trial shares, and has
`prepare()`, called at the end of the load phase, and `run()`, everything between load and unload.
"""
