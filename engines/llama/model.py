"""Loads a GGUF file into llama.cpp. Worker process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engines.llama.failures import load_failure
from engines.llama.library import Library
from engines.worker.stop import Stop


@dataclass(frozen=True)
class LoadSettings:
    """How the weights are read and where they go."""

    memory_map: bool
    gpu_layers: int
    """0 on a processor; negative: all."""
    extra_buffers: bool
    """Whether llama.cpp may lay weights out anew for this processor (AMX, repacked blocks)."""


class Model:
    """One `llama_model`."""

    def __init__(self, library: Library, file: Path, title: str, settings: LoadSettings, stop: Stop) -> None:
        """Raises `WorkerFailure`, and `StopTrial` when the trial was stopped meanwhile."""
        api = library.api
        self._library = library
        parameters = api.llama_model_default_params()
        parameters.n_gpu_layers = settings.gpu_layers
        parameters.load_mode = api.LLAMA_LOAD_MODE_MMAP if settings.memory_map else api.LLAMA_LOAD_MODE_NONE
        parameters.use_extra_bufts = settings.extra_buffers
        # llama.cpp asks between tensors whether to go on: a raised StopTrial could not pass through C
        goes_on = api.llama_progress_callback(lambda _progress, _user: not stop.requested)
        parameters.progress_callback = goes_on
        library.words.forget()
        self.pointer = int(api.llama_model_load_from_file(os.fsencode(file), parameters) or 0)
        if not self.pointer:
            stop.check()
            raise load_failure(library.words, title, library.version)
        self.buffers = [line.partition(":")[2].strip() for line in library.words.lines if "model buffer size" in line]
        """Where the weights are, in llama.cpp's words: "CPU_Mapped model buffer size = 92.10 MiB"."""
        self.context_tokens = int(api.llama_model_n_ctx_train(self.pointer))
        self.layers = int(api.llama_model_n_layer(self.pointer))
        self.recurrent = bool(api.llama_model_is_recurrent(self.pointer) or api.llama_model_is_hybrid(self.pointer))
        self.window = int(api.llama_model_n_swa(self.pointer))
        """Tokens of a sliding window of attention; 0 where every layer sees all earlier positions."""
        self.file_type = api.llama_ftype_name(api.llama_model_ftype(self.pointer)) or b""
        template = api.llama_model_chat_template(self.pointer, None)
        self.chat_template = template.decode(errors="replace") if template else ""

    def close(self) -> None:
        """Free it, after its contexts; closing twice does nothing."""
        if self.pointer:
            self._library.api.llama_model_free(self.pointer)
            self.pointer = 0
