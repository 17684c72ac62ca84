"""A GGUF file's own chat template, applied with Jinja as transformers does. Worker process; imports jinja2.

llama.cpp's `llama_chat_apply_template` runs no Jinja: it recognises well-known templates and leaves out what they add
(SmolLM2's template puts a system message first). The same model would be asked differently by the two engines.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import NoReturn

from engines.worker.failures import WorkerFailure, first_line


def ask(template: str, prompt: str, bos: str, eos: str) -> str:
    """`prompt` as the user's only message, ready for the model's answer. Raises `WorkerFailure` where the template does
    not work."""
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # a file's template is somebody else's program: sandboxed, and with the settings transformers gives it
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(template).render(
            messages=[{"role": "user", "content": prompt}], add_generation_prompt=True, bos_token=bos, eos_token=eos
        )
    except jinja2.TemplateError as error:
        raise WorkerFailure(
            "model",
            f"The chat template in the GGUF file does not work: {first_line(error)}",
            "Choose another file of this model, or leave out what needs the template.",
        ) from error


def _as_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)
