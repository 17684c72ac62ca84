"""A cluster through Slurm: a runner whose trials run in jobs, each job a runner on a node.

The front (`front`, `executor`) is a runner like any other to its clients, on the login node. It asks Slurm for jobs
(`commands`); a job is `python -m engines serve --share FOLDER` on a node (`node`), which takes whole blocks that the
front leaves in the job's folder (`folder`) and writes its spools there. The front copies them into its own (`run`), so
that each file has one writer, and judges what a job that ended has left (`outcome`).
"""
