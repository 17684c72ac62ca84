"""The llama.cpp library in this process: loaded once, its words collected. Worker process; imports llama_cpp.

llama.cpp writes thousands of debug lines while it loads. Warnings and errors go to standard error, which is the trial's
log; what else matters is kept here for facts and for explaining failures.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import deque
from functools import cache
from typing import Any

from engines.worker.failures import WorkerFailure, first_line, is_out_of_memory

_DEBUG, _WARNING, _ERROR, _CONTINUED = 1, 3, 4, 5
"""ggml_log_level."""
_KEPT_LINES = 400
_KEPT_ERRORS = 12
PACKAGE_ADVICE = "Install it where the runner runs: llm-workbench doctor --install gguf (compiles llama.cpp, once)."


class Words:
    """llama.cpp's log. `hear` is called from C, in whichever thread logs."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        """The last lines of level info and above."""
        self.warnings: deque[str] = deque(maxlen=_KEPT_ERRORS)
        self.errors: deque[str] = deque(maxlen=_KEPT_ERRORS)
        self._level = _DEBUG
        self._started = ""

    def hear(self, level: int, text: bytes, _user: object) -> None:
        level = self._level if level == _CONTINUED else level
        self._level = level
        if level == _DEBUG:
            return
        *lines, self._started = (self._started + text.decode("utf-8", "replace")).split("\n")
        for line in lines:
            if not line.strip(" ."):  # dots that stand for progress
                continue
            self.lines.append(line)
            if level in (_WARNING, _ERROR):
                (self.errors if level == _ERROR else self.warnings).append(line)
                sys.stderr.write(line + "\n")

    def forget(self) -> None:
        """Start afresh: what follows belongs to another attempt."""
        for kept in (self.lines, self.warnings, self.errors):
            kept.clear()

    def said(self, *signs: str) -> bool:
        """Whether a warning or an error holds one of `signs` (lower case)."""
        return any(sign in line.lower() for line in (*self.warnings, *self.errors) for sign in signs)

    def after(self, sign: str) -> str:
        """What follows the last mention of `sign`, "" where there is none."""
        return next((line.partition(sign)[2].strip() for line in reversed(self.lines) if sign in line), "")

    def line_with(self, *signs: str) -> str:
        """The first error or warning with one of `signs` (lower case) in it, else the first error: what comes first
        says why it failed, and what comes after it only that it did."""
        found = (line for line in (*self.errors, *self.warnings) if any(sign in line.lower() for sign in signs))
        return next(found, next(iter(self.errors), "")).strip()

    @property
    def last_error(self) -> str:
        return self.errors[-1].strip() if self.errors else ""


class Library:
    """`api` is llama_cpp's low-level module: llama.h's functions under their own names."""

    def __init__(self, api: Any, version: str) -> None:
        self.api = api
        self.version = version
        """Of the package llama-cpp-python."""
        self.words = Words()
        # the library keeps this pointer for as long as the process lives
        self._callback = api.llama_log_callback(self._hear)
        api.llama_log_set(self._callback, None)
        api.llama_backend_init()
        self.logits_address = self._logits_function()

    def _hear(self, level: int, text: bytes, user: object) -> None:
        try:
            self.words.hear(level, text, user)
        except BaseException:  # noqa: BLE001  called from C: nothing may leave; a stop is seen by its flag
            return

    def _logits_function(self) -> Any:
        """`llama_get_logits` that returns a plain address: the package's own makes a pointer object at every call."""
        address = ctypes.cast(self.api.llama_get_logits, ctypes.c_void_p).value or 0
        return ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address)

    @property
    def system_info(self) -> str:
        """What the library was compiled with: "CPU : AVX2 = 1 | ..."."""
        return str(self.api.llama_print_system_info().decode()).strip(" |")

    def has(self, feature: str) -> bool:
        """Whether `system_info` says "FEATURE = 1"."""
        return any(word.strip() == f"{feature} = 1" for word in self.system_info.replace(":", "|").split("|"))


@cache
def library() -> Library:
    """The one library of this process. Raises `WorkerFailure`."""
    # where a debugger is installed, ggml starts it on itself before it aborts: seconds, and pages of log
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        import llama_cpp
    except ModuleNotFoundError as error:
        raise WorkerFailure("package", "The package llama-cpp-python is missing.", PACKAGE_ADVICE) from error
    except (OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise WorkerFailure(
            "package", f"llama-cpp-python is installed but cannot be loaded: {first_line(error)}", PACKAGE_ADVICE
        ) from error
    return Library(llama_cpp.llama_cpp, str(llama_cpp.__version__))
