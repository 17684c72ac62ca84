"""What sets up the engines on the far machine: runs commands, writes files, looks around. Sent there as text and run by
whatever Python is there, so: Python 3.6 and newer, standard library only, nothing of this project.

Standard input: one JSON request a line ("write" is followed by its bytes). Standard output: one JSON answer a line,
after a greeting. No shell takes part. When standard input ends, at whatever moment, the running command and all it
started are ended, and what is half made is removed.
"""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from typing import IO, Any, Dict, List, Optional, Tuple

GREETING = "llm-workbench-helper 1"
OWNER = ".made-by"
VERSIONS = "versions"
NAMES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")
GRACE_S = 5.0
ABOUT = (
    "import importlib.util as u, json, os, sys, sysconfig; "
    "print(json.dumps({'path': sys.executable, 'version': list(sys.version_info[:3]), "
    "'venv': u.find_spec('venv') is not None, 'ensurepip': u.find_spec('ensurepip') is not None}))"
)

making: List[str] = []
running: "List[subprocess.Popen[bytes]]" = []
requests: "queue.Queue[Tuple[Dict[str, Any], bytes]]" = queue.Queue()
ending = threading.Lock()


def say(answer: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def read(stream: IO[bytes]) -> None:
    """On a thread of its own, so that the end of standard input is noticed while a command runs."""
    while True:
        line = stream.readline()
        if not line.endswith(b"\n"):
            break
        request = json.loads(line.decode("utf-8"))
        size = int(request.get("bytes", 0))
        data = stream.read(size)
        if len(data) != size:
            break
        requests.put((request, data))
    give_up()


def give_up() -> None:
    """Never returns, and nothing is started any more meanwhile."""
    ending.acquire()
    for process in list(running):
        end_group(process)
    for folder in making:  # what is complete has been renamed
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def on_signal(*_signal: Any) -> None:
    threading.Thread(target=give_up).start()  # not here: the lock may be held by what was interrupted


def end_group(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except OSError:
            return
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def run(argv: List[str], environment: Dict[str, str]) -> None:
    variables = dict(os.environ)
    variables.update(environment)
    try:
        with ending:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,
            )
            running.append(process)
    except OSError as error:
        failed(argv[0], error, 127)
        return
    assert process.stdout is not None
    for line in process.stdout:
        say({"line": line.decode("utf-8", "replace").rstrip()})
    code = process.wait()
    with ending:  # a command that was ended on purpose is not answered for
        running.remove(process)
    say({"code": code if code >= 0 else 128 - code})


def failed(what: str, error: OSError, code: int) -> None:
    say({"line": "%s: %s" % (what, error.strerror)})
    say({"code": code})


def write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        failed(path, error, 1)
        return
    say({"code": 0})


def begin(folder: str) -> None:
    """Make a folder that is removed should this process end before it has been renamed. What earlier ones of this
    machine left without a chance to remove it goes first."""
    parent = os.path.dirname(folder)
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        for name in os.listdir(parent):
            if name.startswith(".making-") and abandoned(os.path.join(parent, name)):
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
        making.append(folder)
        os.mkdir(folder, 0o700)
        with open(os.path.join(folder, OWNER), "w") as file:
            file.write("%s %d" % (socket.gethostname(), os.getpid()))
    except OSError as error:
        failed(folder, error, 1)
        return
    say({"code": 0})


def abandoned(folder: str) -> bool:
    try:
        with open(os.path.join(folder, OWNER)) as file:
            host, _, number = file.read().rpartition(" ")
        if host != socket.gethostname():
            return False
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


def look(base: str, python: str) -> None:
    here = os.path.abspath(os.path.expanduser(base))
    existing = here
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    own = os.path.expanduser("~/.local/bin")
    path = os.environ.get("PATH", os.defpath) + os.pathsep + own
    names = (python,) if python else NAMES
    found = [about(where) for where in (shutil.which(os.path.expanduser(name), path=path) for name in names) if where]
    say(
        {
            "base": here,
            "system": os.uname().sysname,
            "machine": os.uname().machine,
            "free_bytes": shutil.disk_usage(existing).free,
            "writable": os.access(existing, os.W_OK | os.X_OK),
            "uv": shutil.which("uv", path=path) or "",
            "nvidia": os.path.exists("/proc/driver/nvidia/version"),
            "pythons": [each for each in found if each is not None],
            "environments": {name: listed(os.path.join(here, name, VERSIONS)) for name in listed(here)},
        }
    )


def about(python: str) -> Optional[Dict[str, Any]]:
    try:
        process = subprocess.Popen(
            [python, "-I", "-c", ABOUT], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        out, _ = process.communicate(timeout=20)
        said = json.loads(out.decode("utf-8"))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return said if isinstance(said, dict) else None


def size(folder: str) -> Optional[int]:
    """Bytes on disk; None where there is none."""
    if not os.path.isdir(folder):
        return None
    total = 0
    seen = set()
    for parent, _folders, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(parent, name))
            except OSError:
                continue
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
    return total


def listed(folder: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    sys.stdout.write(GREETING + "\n")
    sys.stdout.flush()
    threading.Thread(target=read, args=(sys.stdin.buffer,), daemon=True).start()
    try:
        while True:
            request, data = requests.get()
            todo = request["do"]
            if todo == "run":
                run(request["argv"], request["environment"])
            elif todo == "write":
                write(request["path"], data)
            elif todo == "begin":
                begin(request["path"])
            elif todo == "sizes":
                say({"sizes": {name: size(os.path.expanduser(path)) for name, path in request["paths"].items()}})
            else:
                look(request["base"], request["python"])
    finally:  # nobody reads any more
        give_up()


if __name__ == "__main__":
    main()
