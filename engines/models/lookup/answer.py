"""What a machine has of an experiment, as it says so to others (`engines.protocol.messages.LookedUp`). Pure values."""

from __future__ import annotations

import msgspec

from engines.data.own import Found, FoundData, FoundPrompts
from engines.models.lookup.identified import Looked
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import ResumeOrder
from engines.protocol.problems import Problem


class Own(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The prompts or data of one workload: one of the three, or none where it names none."""

    prompts: FoundPrompts | None = None
    data: FoundData | None = None
    problem: Problem | None = None

    @classmethod
    def of(cls, found: Found | Problem | None) -> Own:
        if isinstance(found, FoundPrompts):
            return cls(prompts=found)
        return cls(data=found) if isinstance(found, FoundData) else cls(problem=found)

    @property
    def found(self) -> Found | Problem | None:
        return self.problem or self.prompts or self.data


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To one `LookUp`. Where the files of a model have not been read yet, it is not `identified`."""

    models: dict[str, ResolvedModel] = {}
    """By ref."""
    problems: dict[str, Problem] = {}
    """Of the other refs."""
    same: dict[str, ResolvedModel] = {}
    """Wanted models that are there, by fingerprint; their title and `ref` are those of the place where they lie."""
    own: tuple[Own, ...] = ()
    copies: dict[str, str] = {}
    """Folders of what was copied there, by fingerprint."""
    found: tuple[LocalModel, ...] = ()
    """Every model, where that was asked."""
    checkpoints: dict[str, ResumeOrder] = {}
    """By trial."""
    damaged: dict[str, str] = {}
    """Why a trial cannot be resumed although it has written checkpoints."""
    read_bytes: int = 0
    total_bytes: int = 0
    """Of the files that have to be read for the fingerprints."""

    @property
    def is_complete(self) -> bool:
        return self.read_bytes >= self.total_bytes

    def looked(self, ref: str) -> Looked | None:
        """None where nothing is said of it."""
        return self.models.get(ref) or self.problems.get(ref)


decode_answer = msgspec.json.Decoder(Answer).decode
"""Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
