"""Stands in for a fetch that fails: `python -m tests.workbench.failing_fetch`."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    sys.stdout.write(json.dumps({"text": "Starting", "fraction": 0.1}) + "\n")
    sys.stdout.write(json.dumps({"message": "The disk became full.", "advice": "Free some space."}) + "\n")
    sys.exit(1)
