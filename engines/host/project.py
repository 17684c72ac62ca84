"""Which state of this project's code ran a trial: version, commit, hash of the sources. Pure reads; any thread."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from engines.host import machine

CHECKOUT = Path(__file__).parents[2]


def project_facts(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Read again for every trial: a runner lives long, and its workers start from the files as they are."""
    return {
        "project.version": _project_version() or "not available: not installed as a package",
        "project.commit": project_commit(checkout) or "not available: not run from a git checkout",
        "project.sources": source_hash(checkout / "engines"),
    }


def project_commit(checkout: Path) -> str:
    """Commit this code was taken from, "" outside a git checkout. Read from its files: the runner waits for every
    child of its own, so a short-lived git process would have its end reported to the wrong place."""
    git = checkout / ".git"
    if git.is_file():  # a worktree names its folder in a file
        git = (checkout / machine.read_line(git).removeprefix("gitdir: ")).resolve()
    head = machine.read_line(git / "HEAD")
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    shared = (git / (machine.read_line(git / "commondir") or ".")).resolve()
    for folder in (git, shared):
        if commit := machine.read_word(folder / name):
            return commit
    try:
        packed = (shared / "packed-refs").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")


def source_hash(folder: Path) -> str:
    """Hash of the code that measures, file names and contents: it tells changes that no commit holds yet."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).as_posix()
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"sha256:{digest.hexdigest()[:16]}"


def _project_version() -> str:
    try:
        return metadata.version("llm-workbench")
    except metadata.PackageNotFoundError:
        return ""
