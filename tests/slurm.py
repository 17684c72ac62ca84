"""A real Slurm of one node with two fake GPUs, for tests: its daemons, everything they write and their keys under one
temporary folder, on free ports. Nothing of the system's own Slurm is touched. Needs root and Debian's slurm-wlm, munge.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "munged")
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters={shares}
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=100000
GresTypes=gpu
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType={accounting}
JobAcctGatherFrequency=1
MinJobAge=600
KillWait={kill_wait}
OverTimeLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=60 State=UP
{more}
"""


def why_not() -> str:
    """Why no Slurm can run here; "" where one can."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"no {', '.join(missing)} here (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "Slurm's daemons need root to make device nodes and to start jobs"
    return ""


class Slurm:
    """Running daemons; `environment` is what its commands need."""

    def __init__(
        self,
        folder: Path,
        *,
        kill_wait_s: int = 2,
        more: str = "",
        accounting: str = "jobacct_gather/none",
        shares: str = "CR_Core",
    ) -> None:
        """`more`: further lines of its configuration. `accounting`: what counts the memory of jobs; `shares`: what jobs
        divide a node by."""
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.host = socket.gethostname().partition(".")[0]
        self._kill_wait_s = kill_wait_s
        self._more = more.format(host=self.host)
        self._accounting = accounting
        self._shares = shares

    def start(self) -> None:
        self._write()
        munge = self.folder / "munge"
        self._daemon(
            *("munged", "--foreground", f"--key-file={munge}/munge.key", f"--socket={munge}/munge.sock"),
            *(f"--pid-file={munge}/munged.pid", f"--log-file={munge}/munged.log", f"--seed-file={munge}/munged.seed"),
        )
        until((munge / "munge.sock").exists, "munged listens")
        self._daemon("slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        self.start_node()
        until(lambda: "idle" in self.say("sinfo", "--noheader", "--format=%T"), "the node is idle")

    def start_node(self) -> None:
        """A slurmd in the background, so that a test can start another: it is no child of the test's process."""
        self.say("slurmd", "-f", self.environment["SLURM_CONF"])
        until(self._node_file.exists, f"slurmd runs: {self.folder}/slurmd.log")

    def stop_node(self) -> None:
        """End slurmd; what runs on the node continues under its slurmstepd."""
        try:
            pid = int(self._node_file.read_text())
            os.kill(pid, signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError):
            return
        until(lambda: not Path(f"/proc/{pid}").exists(), "slurmd has ended")
        self._node_file.unlink(missing_ok=True)

    @property
    def _node_file(self) -> Path:
        return self.folder / "slurmd.pid"

    def say(self, *command: str) -> str:
        """What a command of this Slurm prints; "" where it fails."""
        done = subprocess.run(command, env=self._own_environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """Ids of the jobs in these states (of those that have not ended, where none is named)."""
        wanted = [f"--states={','.join(states)}"] if states else []
        return self.say("squeue", "--noheader", "--format=%A", *wanted).split()

    def close(self) -> None:
        """Jobs end first: a slurmstepd outlives the daemons."""
        try:
            if "slurmctld" in self._daemons:
                for job in self.jobs():
                    self.say("scancel", job)
                until(lambda: not self.jobs(), "every job has ended")
        finally:
            self.stop_node()
            for name in ("slurmctld", "munged"):
                self._end(name)

    @property
    def _own_environment(self) -> dict[str, str]:
        """Without this program's own variables: a slurmd that a test starts is none of its processes."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LLM_WORKBENCH_")}
        return {**inherited, **self.environment}

    def _write(self) -> None:
        self.folder.chmod(0o711)  # munge's socket has to be within everybody's reach
        for name, mode in (("state", 0o700), ("spool", 0o755), ("munge", 0o711)):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(mode)
        key = self.folder / "munge" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for number in range(2):
            os.mknod(self.folder / f"nvidia{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        controller, node = _free_ports(2)
        conf = _CONF.format(
            folder=self.folder,
            host=self.host,
            controller=controller,
            node=node,
            cpus=os.sysconf("SC_NPROCESSORS_ONLN"),
            kill_wait=self._kill_wait_s,
            more=self._more,
            accounting=self._accounting,
            shares=self._shares,
        )
        (self.folder / "slurm.conf").write_text(conf)
        gres = f"AutoDetect=off\nNodeName={self.host} Name=gpu File={self.folder}/nvidia[0-1]\n"
        (self.folder / "gres.conf").write_text(gres)

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("ab") as out:
            self._daemons[command[0]] = subprocess.Popen(
                [shutil.which(command[0], path=_PATH) or command[0], *command[1:]],
                env=self._own_environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextmanager
def running_slurm(**options: Any) -> Iterator[Slurm]:
    folder = Path(tempfile.mkdtemp(prefix="lw-slurm-", dir="/tmp"))
    slurm = Slurm(folder, **options)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.close()
        shutil.rmtree(folder, ignore_errors=True)


def until(true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
