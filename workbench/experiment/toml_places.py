"""Where each key of a TOML text stands: (dotted path) -> line number, for problem messages.

Pure; any thread. `tomllib` gives values without places, so this walks the same text again. It expects text that
`tomllib` has accepted and does not check it: values are skipped over, not read.
"""

from __future__ import annotations

import tomllib

Path = tuple[str | int, ...]
"""Keys and array indices from the root: ("techniques", "precision", 2, "id")."""

_BARE_END = " \t\r\n=.,]}#"
_SCALAR_END = "\n,]}#"


def locate(text: str) -> dict[Path, int]:
    """Line (from 1) of every key, table header and array element of a valid TOML text."""
    return _Walker(text.replace("\r\n", "\n")).walk()


def dotted(path: Path) -> str:
    """("models", 1) -> "models[1]", ("run", "trials") -> "run.trials"; indices count from 0 as in the file's list."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Line of the path, or of the nearest thing around it that has one."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


class _Walker:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[Path, int] = {}
        self.table_arrays: dict[Path, int] = {}
        """Last index of each [[array of tables]]."""

    def walk(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(" \t\r\n"):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    # --- the pieces of TOML --------------------------------------------------------------------

    def _header(self) -> Path:
        line = self.line
        is_array = self.text.startswith("[[", self.at)
        self._advance(2 if is_array else 1)
        keys = self._keys()
        self._advance(2 if is_array else 1)
        path: Path = ()
        for depth, key in enumerate(keys):
            path = (*path, key)
            if is_array and depth == len(keys) - 1:
                index = self.table_arrays.get(path, -1) + 1
                self.table_arrays[path] = index
                self.lines.setdefault(path, line)
                path = (*path, index)
            elif path in self.table_arrays:
                path = (*path, self.table_arrays[path])
        self.lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self.line
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._advance(1)
        self._skip(" \t")
        self._value(path)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(" \t")
            if self._peek() in "\"'":
                keys.append(self._string())
            else:
                start = self.at
                while self._peek() not in _BARE_END:
                    self._advance(1)
                keys.append(self.text[start : self.at])
            self._skip(" \t")
            if self._peek() != ".":
                return keys
            self._advance(1)

    def _value(self, path: Path) -> None:
        head = self._peek()
        if head == "[":
            self._array(path)
        elif head == "{":
            self._inline_table(path)
        elif head in "\"'":
            self._string()
        else:
            while self.at < len(self.text) and self._peek() not in _SCALAR_END:
                self._advance(1)

    def _array(self, path: Path) -> None:
        self._advance(1)
        index = 0
        while self._skip(" \t\r\n,") and self._peek() != "]":
            self.lines.setdefault((*path, index), self.line)
            self._value((*path, index))
            index += 1
        self._advance(1)

    def _inline_table(self, path: Path) -> None:
        self._advance(1)
        while self._skip(" \t\r\n,") and self._peek() != "}":
            self._pair(path)
        self._advance(1)

    def _string(self) -> str:
        """Skip a string and return what is between its quotes; escapes matter for keys only and are decoded there."""
        quote = self._peek()
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self._advance(len(mark))
        start = self.at
        while self.at < len(self.text) and not self.text.startswith(mark, self.at):
            self._advance(2 if quote == '"' and self._peek() == "\\" else 1)
        if len(mark) == 3:  # up to two quotes may stand before the closing three
            while self.text.startswith(quote, self.at + 3):
                self._advance(1)
        inner = self.text[start : self.at]
        self._advance(len(mark))
        return _unescape(inner) if mark == '"' and "\\" in inner else inner

    # --- characters ----------------------------------------------------------------------------

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else "\n"

    def _advance(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def _skip(self, characters: str) -> bool:
        """Pass these characters and, where line ends may be passed, comments. False at the end of the text."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in characters:
                self._advance(1)
            elif char == "#" and "\n" in characters:
                end = self.text.find("\n", self.at)
                self._advance((len(self.text) if end < 0 else end) - self.at)
            else:
                return True
        return False


def _unescape(inner: str) -> str:
    """Decode a basic string's escapes the way TOML does, by asking TOML."""
    return str(tomllib.loads(f'x = "{inner}"')["x"])
