"""What of a client's surroundings goes with its trials: variables that libraries read, and the processors it may use.

The runner outlives the command that started it; without this, a later command's `CUDA_VISIBLE_DEVICES=1` or
`taskset -c 0` would have no effect. Used by the client (what it has), the runner (what the worker gets) and the worker
(what it tells). Secrets go beside the orders, in memory only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from engines.protocol.messages import Submit
from engines.protocol.orders import EnvironmentOrder, TrialOrder

_COMPUTING = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "ATEN_", "ONEDNN_", "DNNL_", "TORCH"),
    *("PYTORCH_", "TRITON_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_TF32_OVERRIDE", "GGML_", "LLAMA_"),
    *("MALLOC_", "GLIBC_TUNABLES", "PYTHONMALLOC", "LD_PRELOAD"),
)
"""Beginnings of variables that numerical libraries, CUDA and allocators read."""
_HUB = ("HF_", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_", "XDG_CACHE_HOME", "TOKENIZERS_PARALLELISM", "RAYON_")
_NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
_PASSED_ON = (*_COMPUTING, *_HUB, *_NETWORK)
_SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
_NO_SECRETS = frozenset({"HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN"})
_SECRET_WORDS = frozenset({"TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS"})
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
SECRETS_LOST = (
    "the runner was restarted after the trial was submitted, and secrets are kept in memory only. "
    "Submit the trial again if it needs them."
)
_LIKE_THEM = (
    *("LD_", "NCCL_", "NVIDIA_", "HIP_", "HSA_", "ROCR_", "HUGGING", "SAFETENSORS_", "VECLIB_"),
    *_PASSED_ON,
)
"""Beginnings of variables that a user may expect to count. Those that are not passed on are named to them."""


def is_passed_on(name: str) -> bool:
    """Whether a worker has this variable from the client that submitted its trial."""
    return name in _SECRETS or (name.startswith(_PASSED_ON) and not _sounds_secret(name))


def is_computing(name: str) -> bool:
    """Whether the variable may change how fast libraries run, and its value may be stored."""
    return name.startswith((*_COMPUTING, "LD_LIBRARY_PATH")) and not _sounds_secret(name)


def client_environment(variables: Mapping[str, str] | None = None) -> tuple[EnvironmentOrder, dict[str, str]]:
    """This process's surroundings -> what goes with the orders, and the secrets, which must not be stored."""
    here = os.environ if variables is None else variables
    passed = {name: value for name, value in sorted(here.items()) if is_passed_on(name)}
    secrets = {name: value for name, value in passed.items() if name in _SECRETS or _CREDENTIALS.search(value)}
    return EnvironmentOrder(
        variables={name: value for name, value in passed.items() if name not in secrets},
        secrets=tuple(secrets),
        processors=list_of(os.sched_getaffinity(0)),
        not_passed_on=tuple(sorted(n for n in here if n.startswith(_LIKE_THEM) and not is_passed_on(n))),
    ), secrets


def submission(orders: Sequence[TrialOrder]) -> Submit:
    """The request that queues these trials with the surroundings of this process."""
    environment, secrets = client_environment()
    return Submit(
        orders=tuple(msgspec.structs.replace(order, environment=environment) for order in orders), secrets=secrets
    )


def surroundings(own: Mapping[str, str], order: EnvironmentOrder | None, secrets: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker: the runner's `own`, but for those that are the submitting client's to say."""
    if order is None:
        return dict(own)
    return {**{n: v for n, v in own.items() if not is_passed_on(n)}, **order.variables, **secrets}


def never_written(secrets: Mapping[str, str]) -> tuple[bytes, ...]:
    """What of the secrets must not be in what a worker says, as it is and as in JSON, the longest first: a library may
    log its variables, or the proxy it goes through. Short values are left out: they would be found in words."""
    words = {*secrets.values(), *(part[3:-1] for value in secrets.values() for part in _CREDENTIALS.findall(value))}
    forms = {form for w in words if len(w) >= 8 for form in (os.fsencode(w), msgspec.json.encode(w)[1:-1])}
    return tuple(sorted(forms, key=len, reverse=True))


def client_facts(order: EnvironmentOrder | None, secrets: Collection[str]) -> dict[str, str]:
    """What the runner tells of the client; values of variables are the worker's to tell. `secrets`: those it has."""
    if order is None:
        return {}
    facts = {
        "client.processors": order.processors,
        "client.not_passed_on": ", ".join(order.not_passed_on),
        "client.secrets": ", ".join(name for name in order.secrets if name in secrets),
        "client.secrets_lost": ", ".join(name for name in order.secrets if name not in secrets),
    }
    return {name: value for name, value in facts.items() if value}


def variable_facts(order: EnvironmentOrder | None, here: Mapping[str, str]) -> dict[str, str]:
    """Variables of this process (`here`) that may change figures or came from the client, and those of the client that
    what is run overrules. No secrets."""
    asked = order.variables if order is not None else {}
    facts = {
        f"variable.{name}": value or "set, empty"
        for name, value in sorted(here.items())
        if (is_computing(name) or asked.get(name) == value) and not _CREDENTIALS.search(value)
    }
    overruled = [f"{name}={value}" for name, value in asked.items() if here.get(name) != value]
    return facts | ({"client.overruled": ", ".join(overruled)} if overruled else {})


def list_of(processors: Iterable[int]) -> str:
    """Processors as the kernel lists them: "0-3,8"; "" for none."""
    runs: list[list[int]] = []
    for number in sorted(set(processors)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def processors_of(order: EnvironmentOrder | None) -> set[int]:
    """The processors that the client may use, as `list_of` wrote them; none where it said nothing that can be read."""
    found: set[int] = set()
    for part in order.processors.split(",") if order is not None else ():
        first, _, last = part.partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last if last.isdigit() else first) + 1))
    return found


def _sounds_secret(name: str) -> bool:
    return name not in _NO_SECRETS and not _SECRET_WORDS.isdisjoint(name.upper().split("_"))
