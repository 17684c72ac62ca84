"""Training in the transformers engine. Worker process; imports torch.

`session` is the engine's training half: data, trainer, held-out loss. `trainer` runs and times the steps; `step` is one
of them, of `micro_batches`; `optimisers` and `schedule` are what their names say. `untimed` looks at one step before
the timed ones: memory by part (`memory`) and operations (`flops`). `evidence` shows what training changed and left
alone.
"""
