"""The machines that trials can run on: this computer, and those the user added. `machines.toml` in the configuration
folder, which windows and commands share. Any thread; reading and writing block shortly.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence

import msgspec
import tomli_w

from engines.protocol.file_errors import what_happened, what_to_do
from engines.protocol.job_settings import JobSettings
from engines.protocol.places import Places
from engines.protocol.private import replace_private
from engines.protocol.problems import Advised

THIS = "this"
"""Id of this computer, which is always there."""
FILE = "machines.toml"
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class MachinesError(Advised):
    """`machines.toml` cannot be read or written, or an id is taken or unknown."""


class _Reach(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="kind"
):
    pass


class Local(_Reach, frozen=True, kw_only=True, tag="local"):
    """This computer: its runner is started where none answers."""


class Ssh(_Reach, frozen=True, kw_only=True, tag="ssh"):
    """A computer reached by the user's own OpenSSH client, whose configuration, keys and agent count."""

    host: str
    """A name of ~/.ssh/config, or [user@]address."""
    port: int = 0
    """0: as OpenSSH decides."""
    python: str = ""
    """Interpreter there that has the engines, as an absolute path; "" before it is set up."""
    home: str = ""
    """`LLM_WORKBENCH_HOME` there; "" for the user's own folders."""


class Slurm(JobSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="slurm"):
    """Nodes that Slurm gives: it places runners, one allocation for each group of devices."""

    login: Ssh | None = None
    """The login node; None where its commands are on this computer. Its `python` and `home` must lie where nodes see
    them."""
    python: str = ""
    """As `Ssh.python`, where the login node is this computer."""
    home: str = ""


Reach = Local | Ssh | Slurm


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is what experiment files and trials name; `title` is what people read."""

    id: str
    title: str
    reach: Reach

    @property
    def kind(self) -> str:
        """ "local", "ssh" or "slurm"."""
        return str(self.reach.__struct_config__.tag)


THIS_COMPUTER = Machine(id=THIS, title="This computer", reach=Local())


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reach: Reach
    title: str = ""


def machines(places: Places) -> tuple[Machine, ...]:
    """This computer, then those the user added, in the order of the file. Raises `MachinesError`."""
    path = places.config / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return (THIS_COMPUTER,)
    except (OSError, UnicodeDecodeError) as error:
        raise MachinesError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    try:
        kept = msgspec.convert(tomllib.loads(text), dict[str, _Kept])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise MachinesError(f"{path} is not a list of machines: {error}.", "Mend it, or move it away.") from error
    for name in kept:
        check_id(name)
    return (THIS_COMPUTER, *(Machine(id=n, title=m.title or n, reach=m.reach) for n, m in kept.items()))


def find(places: Places, machine: str) -> Machine:
    """Raises `MachinesError` where there is none of that id."""
    known = machines(places)
    found = next((m for m in known if m.id == machine), None)
    if found is None:
        names = ", ".join(m.id for m in known)
        raise MachinesError(
            f"There is no machine {machine!r}.", f"There are: {names}. Add one: llm-workbench machines add"
        )
    return found


def machine_titles(places: Places) -> dict[str, str]:
    """What people call each machine, by id; with the id where two are called alike. Empty where the list cannot be
    read."""
    try:
        known = machines(places)
    except MachinesError:
        return {}
    count = Counter(m.title.casefold() for m in known)
    return {m.id: m.title if count[m.title.casefold()] == 1 else f"{m.title} ({m.id})" for m in known}


def keep(places: Places, machine: Machine) -> None:
    """Add a machine, or change the one of that id. Raises `MachinesError`."""
    check_id(machine.id)
    others = [m for m in machines(places) if m.id not in (THIS, machine.id)]
    _write(places, [*others, machine])


def remove(places: Places, machine: str) -> None:
    """Forget how a machine is reached; its stored trials stay. Raises `MachinesError`."""
    find(places, machine)
    _write(places, [m for m in machines(places) if m.id not in (THIS, machine)])


def check_id(machine: str) -> None:
    """Raises `MachinesError` for what cannot name an added machine in a file or on a command line."""
    if machine == THIS or not _ID.fullmatch(machine):
        raise MachinesError(
            f"{machine!r} cannot be a machine's id.", 'Lower-case letters, digits, "-" and "_", at most 40, not "this".'
        )


def _write(places: Places, added: Sequence[Machine]) -> None:
    path = places.config / FILE
    kept = {m.id: msgspec.to_builtins(_Kept(reach=m.reach, title=m.title)) for m in added}
    try:
        replace_private(path, tomli_w.dumps(kept).encode())
    except OSError as error:
        raise MachinesError(
            f"The machines cannot be written to {path}. {what_happened(error, path.parent)}",
            f"What was there before still holds. {what_to_do(error, path.parent)}",
        ) from error
