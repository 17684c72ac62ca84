"""`python -m benchmarks [NAME ...]`: run benchmarks one after the other, each in a process of its own.

Each prints a figure beside its reference. They fail only when they cannot measure, never because a machine is slow.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LIBRARIES = {
    "__init__",
    "__main__",
    "crash_evidence",
    "finetuning",
    "fuzzed",
    "llama_bench",
    "mutation",
    "paired_comparison",
    "trials",
}


def main(names: list[str]) -> int:
    """Exit code 1 if one of them could not measure."""
    known = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in LIBRARIES)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}. There are: {', '.join(known)}")
        return 2
    failed = []
    for name in names or known:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"Could not measure: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
