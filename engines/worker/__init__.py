"""The worker: one process, one trial. No torch here; engines are imported once the order is read.

- `__main__`: the process: arguments, parent death, SIGTERM, exit code
- `channel`: the record pipe                 - `failures`: what ends a trial, in words for people
- `phases`: named spans and their peaks      - `stop`: "stop and keep"
- `steady`: when warm-up may end             - `measure`: the warm-up and measured loops
- `trial`: the phases in their order         - `engine`: what an engine must offer
"""
