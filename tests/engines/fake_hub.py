"""A hub of models on this machine: the few addresses that huggingface_hub asks for, and what can go wrong there."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Repository:
    """`files` by name. What goes wrong: `refused` is the status (and the hub's code) of every answer; a file in `cut`
    ends early, once, after so many bytes; one in `stalled` stops there until `resume` is set; one in `understated` is
    told to have so many bytes."""

    files: dict[str, bytes]
    refused: tuple[int, str] | None = None
    cut: dict[str, int] = field(default_factory=dict)
    stalled: dict[str, int] = field(default_factory=dict)
    resume: threading.Event = field(default_factory=threading.Event)
    understated: dict[str, int] = field(default_factory=dict)


class FakeHub:
    """`asked` counts requests by method and what they were for; `ranges` lists where files were taken up again."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: Counter[str] = Counter()
        self.ranges: list[tuple[str, int]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def put(self, name: str, folder: Path, *names: str) -> Repository:
        """A repository with a folder's files."""
        wanted = [folder / n for n in names] if names else sorted(folder.iterdir())
        made = self.repositories[name] = Repository({file.name: file.read_bytes() for file in wanted})
        return made

    def environment(self, cache: Path) -> dict[str, str]:
        """For a process that is to take this for the hub."""
        return {"HF_ENDPOINT": self.address, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}


@contextmanager
def serving() -> Iterator[FakeHub]:
    hub = FakeHub()
    thread = threading.Thread(target=hub.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        for repository in hub.repositories.values():
            repository.resume.set()
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _answer(self) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[0] == "datasets":  # /datasets/org/name/resolve/...
            del path[0]
        about = path[2:4] if path[:2] in (["api", "models"], ["api", "datasets"]) else path[:2]
        repository = self.hub.repositories.get("/".join(about))
        if repository is None:
            return self._refuse(404, "RepoNotFound")
        if repository.refused is not None:
            return self._refuse(*repository.refused)
        if path[0] == "api":
            self.hub.asked[f"api {path[4] if len(path) > 4 else 'info'}"] += 1
            entries = self._tree(repository) if path[4:5] == ["tree"] else self._info("/".join(about), repository)
            return self._send(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
        name = "/".join(path[4:])
        self.hub.asked[f"{self.command} {name}"] += 1
        if name not in repository.files:
            return self._refuse(404, "EntryNotFound")
        return self._file(repository, name)

    def _info(self, name: str, repository: Repository) -> dict[str, object]:
        sizes = {n: repository.understated.get(n, len(data)) for n, data in repository.files.items()}
        siblings = [{"rfilename": n, "size": size, "blobId": "0" * 40} for n, size in sizes.items()]
        return {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}

    def _tree(self, repository: Repository) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": n, "size": repository.understated.get(n, len(data)), "oid": "0" * 40}
            for n, data in repository.files.items()
        ]

    def _file(self, repository: Repository, name: str) -> None:
        data = repository.files[name]
        start = int(self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0] or 0)
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        if start:
            self.hub.ranges.append((name, start))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "HEAD":
            self._send(200, data, headers)
            return
        stop = repository.cut.pop(name, None) if not start else None
        wait = repository.stalled.get(name) if not start else None
        self._head(206 if start else 200, len(data) - start, headers)
        if stop is not None:
            self.wfile.write(data[:stop])
            self.close_connection = True  # fewer bytes than were promised
        elif wait is not None:
            self.wfile.write(data[:wait])
            self.wfile.flush()
            repository.resume.wait(60)
            self.wfile.write(data[wait:])
        else:
            self.wfile.write(data[start:])

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": "As the hub would say."})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
