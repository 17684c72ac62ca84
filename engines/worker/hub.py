"""Whether the hub of models and data sets answers, found out in seconds: its own library asks six times, with pauses,
for every data set. Worker process.
"""

from __future__ import annotations

import os
import ssl
import threading
import urllib.error
import urllib.request
from functools import cache
from urllib.parse import urlsplit

_WAIT_S = 5.0
_HUB = "https://huggingface.co"


def hub_address() -> str:
    """Of the hub that is asked: another one where HF_ENDPOINT names it."""
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def hub_name() -> str:
    return urlsplit(hub_address()).netloc or hub_address()


@cache
def why_unreachable() -> str:
    """Why no answer comes from the hub, in the system's words; "" where it answers, whatever it says. Asked once a
    process; takes at most five seconds and goes through the proxy that the environment names."""
    said: list[str] = []
    # a thread of its own: looking up a name waits as long as the system likes
    asking = threading.Thread(target=lambda: said.append(_ask()), name="hub", daemon=True)
    asking.start()
    asking.join(_WAIT_S)
    return said[0] if said else f"no answer within {_WAIT_S:g} s"


def work_offline() -> None:
    """Have the hub's libraries use what is in their cache and ask for nothing else. HF_HUB_OFFLINE=1 would do it too,
    but is read when they are imported."""
    import datasets
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True


def _ask() -> str:
    try:
        request = urllib.request.Request(hub_address(), method="HEAD")
        with urllib.request.urlopen(request, timeout=_WAIT_S):
            return ""
    except urllib.error.HTTPError:
        return ""  # it says something
    except urllib.error.URLError as error:
        # certificates: somebody answers, and the hub's library may know them
        if isinstance(error.reason, ssl.SSLError):
            return ""
        return str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, ValueError) as error:
        return str(error)
