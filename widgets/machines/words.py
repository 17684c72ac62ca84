"""What the list and the head of the Machines page say of a machine, from how it is reached and its link. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from engines.protocol.messages import ProbeResult
from widgets.machines.facts import summary
from widgets.parts.link_state import link_state
from workbench.machines.host_keys import HostKey
from workbench.machines.machine import THIS, Local, Machine, Slurm, Ssh
from workbench.running.events import RunnerLink

KINDS = {"local": "this computer", "ssh": "SSH", "slurm": "Slurm"}


@dataclass(frozen=True)
class LinkWords:
    """`state` is the word in the list and on the chip, `status` its colour ("good", "warn", "error", "neutral").
    `title` and `text` are the card's under the head; without a title there is no card."""

    state: str
    status: str
    title: str = ""
    text: str = ""
    retry: bool = False
    """Whether trying again may help without another change."""


@dataclass(frozen=True)
class MachineRow:
    id: str
    title: str
    about: str
    link: LinkWords
    kind: str

    @property
    def sentence(self) -> str:
        """The row for a screen reader."""
        return f"{self.title}, {self.about}, {self.link.state}"


def machine_row(machine: Machine, link: RunnerLink | None, probe: ProbeResult | None) -> MachineRow:
    """One row of the list: what is known of its devices, else how it is reached."""
    about = summary(probe.devices) if probe is not None else reached(machine)
    return MachineRow(machine.id, machine.title, about, link_words(machine, link, probe), machine.kind)


def reached(machine: Machine) -> str:
    """ "SSH, bench@gpu-box port 2222", "Slurm, partition gpu, through login"."""
    reach = machine.reach
    if isinstance(reach, Local):
        return KINDS["local"]
    if isinstance(reach, Ssh):
        return f"SSH, {address(reach)}"
    where = f"through {address(reach.login)}" if reach.login is not None else "from this computer"
    return ", ".join(("Slurm", *((f"partition {reach.partition}",) if reach.partition else ()), where))


def address(reach: Ssh) -> str:
    return f"{reach.host} port {reach.port}" if reach.port else reach.host


def login_of(machine: Machine) -> Ssh | None:
    """The computer that OpenSSH logs in to; None where nothing has to be reached."""
    if isinstance(machine.reach, Ssh):
        return machine.reach
    return machine.reach.login if isinstance(machine.reach, Slurm) else None


def link_words(machine: Machine, link: RunnerLink | None, probe: ProbeResult | None = None) -> LinkWords:
    """The state of a link, and the card of one that is lost."""
    state, status = link_state(machine.id, link, answered=probe is not None)
    if link is None or link.state != "lost":
        return LinkWords(state, status)
    name = "The runner on this computer" if machine.id == THIS else machine.title
    title = _TITLES.get(link.code, "{} does not answer").format(name)
    text = link.message.removeprefix(f"{title}: ")  # the title says it
    return LinkWords(state, status, title, f"{text[:1].upper()}{text[1:]}", retry=True)


_TITLES = {
    "host_key": "The host key of {} needs your decision",
    "login": "{} refuses the login",
    "setup": "{} is not set up",
}
"""By the code of a lost link."""


@dataclass(frozen=True)
class KeyWords:
    """A host key to be decided on: what is offered, what is known, and the words on the button."""

    title: str
    text: str
    offered: str
    known: tuple[str, ...]
    button: str
    changed: bool


_UNKNOWN = (
    "Nothing has been sent. Compare the fingerprint with what the computer's owner says; trust it if it is the same."
)
_CHANGED = (
    "Nothing has been sent. The computer may have been installed anew, or another one poses as it. Ask its owner for "
    "the fingerprint, and replace the key only if it is the same."
)


def key_words(machine: Machine, key: HostKey) -> KeyWords:
    """Of a key that is not known. A jump host on the way is named."""
    whose = machine.title if key.host in ("", _host(machine)) else f"{machine.title} ({key.host})"
    changed = key.state == "changed"
    title = f"The host key of {whose} has changed" if changed else f"The host key of {whose} is not known yet"
    button = "Replace the known key" if changed else "Trust this key"
    text = _CHANGED if changed else _UNKNOWN
    return KeyWords(title, text, f"{key.kind} {key.fingerprint}".strip(), key.expected, button, changed)


def _host(machine: Machine) -> str:
    reach = login_of(machine)
    return reach.host.rpartition("@")[2] if reach is not None else ""


def countdown(seconds: float) -> str:
    """ "Trying again in 4 s.", "Trying again now."."""
    left = round(seconds)
    return f"Trying again in {left} s." if left > 0 else "Trying again now."
