"""Why a far computer could not be used: what OpenSSH said, as a `RunnerError` with code and advice. Pure.

Codes: "no_ssh" (none on this computer), "name" (nobody has it), "unreachable" (no way there, or nobody answers),
"host_key" (unknown, or another than before), "login" (no key is accepted), "config", "setup" (no Python or no engines
there), "start" (its runner does not start), "link" (whatever may work at the next try).
"""

from __future__ import annotations

from engines.protocol.client import RunnerError
from workbench.machines.machine import Ssh

_SAFE = "Trials that run there continue."
_LONGEST_LINE = 400
_NOT_FOUND, _NOT_EXECUTABLE, _OWN = 127, 126, 255


def no_ssh(error: OSError) -> RunnerError:
    """No ssh could be started on this computer."""
    return RunnerError(
        f"OpenSSH's client cannot be started on this computer: {error.strerror or error}.",
        "Install it; on Debian or Ubuntu: sudo apt-get install openssh-client",
        code="no_ssh",
    )


def failure(reach: Ssh, title: str, said: str) -> RunnerError:
    """What ssh said on its standard error before it gave up, exit code 255."""
    host = reach.host
    if "REVOKED HOST KEY" in said:
        return RunnerError(f"The host key of {title} was revoked.", "Ask whoever looks after it.", code="host_key")
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return RunnerError(
            f"{title} has another host key than before.",
            "Perhaps it was set up anew, perhaps another computer poses as it. Nothing was sent. Compare the "
            "fingerprints on the Machines page, and accept the new key only if it is right.",
            code="host_key",
        )
    if "Host key verification failed" in said or "host key is known for" in said:
        return RunnerError(
            f"{title} has a host key that this computer does not know yet.",
            "Nothing was sent. Compare its fingerprint on the Machines page, and accept it if it is right.",
            code="host_key",
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return RunnerError(
            f"{title} refuses the login: {_sentence(said)}",
            f"No password is ever asked for here. Make `ssh {host}` work without one (a key, or an agent), and check "
            "the user name.",
            code="login",
        )
    if "Could not resolve hostname" in said:
        return RunnerError(
            f"No computer is known by the name of {host}.", "Check its name, and ~/.ssh/config.", code="name"
        )
    if "Bad configuration option" in said or "terminating, " in said or "Bad owner or permissions" in said:
        return RunnerError(
            f"OpenSSH cannot read its configuration: {_sentence(said)}", f"`ssh {host}` says the same.", code="config"
        )
    return RunnerError(
        f"{title} cannot be reached: {_sentence(said) or 'the connection ended.'}",
        f"{_SAFE} `ssh {host}` says more.",
        code="unreachable",
    )


def ended_early(reach: Ssh, title: str, code: int, said: str) -> RunnerError | None:
    """The connection to a runner ended before its greeting. None: nothing is known but that."""
    if code == _OWN:
        return failure(reach, title, said)
    if code in (_NOT_FOUND, _NOT_EXECUTABLE):
        return RunnerError(
            f"{title} has no Python at {reach.python}.", "Set it up again on the Machines page.", code="setup"
        )
    if "No module named" in said:
        return RunnerError(
            f"{title} has no engines for {reach.python}: {_sentence(said)}",
            "Set it up again on the Machines page.",
            code="setup",
        )
    if code > 0:
        return RunnerError(
            f"The runner of {title} could not be started: {_last_lines(said, 8) or f'exit code {code}'}",
            "Test the machine on the Machines page; its runner keeps a log there.",
            code="start",
        )
    return None


def _sentence(said: str) -> str:
    """The last line, ended so that another sentence can follow."""
    line = _last_lines(said, 1)
    return f"{line}." if line and line[-1] not in ".!?" else line


def _last_lines(said: str, count: int) -> str:
    """Without what would move a terminal's cursor or colour it: another computer says it."""
    plain = ("".join(c if c.isprintable() else " " for c in line).strip() for line in said.splitlines())
    return "\n".join([line[:_LONGEST_LINE] for line in plain if line][-count:])
