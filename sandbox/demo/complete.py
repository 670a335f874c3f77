"""Tab completion for the typed session, where Python has readline: words, commands, options, choices, paths."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sandbox.demo.tools import TOOLS
from sandbox.discord import commands as kinds

if TYPE_CHECKING:
    from sandbox.demo.session import Session


class Completer:
    """Completes lines of this session while it is entered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found: list[str] = []
        self._readline: Any = None

    def __enter__(self) -> Self:
        try:
            import readline  # noqa: PLC0415 - not every Python has it
        except ImportError:
            return self
        if sys.stdin.isatty():
            self._readline = readline
            readline.set_completer_delims(" \t\n")
            readline.set_completer(self._next)
            readline.parse_and_bind("tab: complete")
        return self

    def __exit__(self, *_: object) -> None:
        if self._readline is not None:
            self._readline.set_completer(None)

    def _next(self, text: str, state: int) -> str | None:
        if state == 0:
            before = self._readline.get_line_buffer()[: self._readline.get_begidx()]
            self._found = self.candidates(before, text)
        return self._found[state] if state < len(self._found) else None

    def candidates(self, before: str, text: str) -> list[str]:
        """What the word `text` may become, after the words `before` it."""
        if not before.strip():
            labels = [(b.label or "").lower() for m in self._session.visible() for b in m.buttons]
            heads = [f"/{slash.path.split()[0]}" for slash in self._session.slashes()]
            return _fitting([*TOOLS, "help", "press", "quit", *labels, *heads], text)
        if not before.startswith("/"):
            return _paths(text) if before.split(maxsplit=1)[0] in {"save", "open"} else []
        typed = before.removeprefix("/").split()
        slash = next((s for s in self._session.slashes() if typed[: len(s.path.split())] == s.path.split()), None)
        if slash is None:
            paths = [s.path.split() for s in self._session.slashes()]
            return _fitting([p[len(typed)] for p in paths if p[: len(typed)] == typed and len(p) > len(typed)], text)
        name, colon, value = text.partition(":")
        if not colon:
            return [f"{option}:" for option in slash.options if option.startswith(text)]
        spec = slash.options.get(name, {})
        if spec.get("type") == kinds.ATTACHMENT:
            return [f"{name}:{path}" for path in _paths(value)]
        return [f"{name}:{c['value']}" for c in spec.get("choices") or () if str(c["value"]).startswith(value)]


def _fitting(words: list[str], text: str) -> list[str]:
    return sorted({f"{word} " for word in words if word and word.startswith(text)})


def _paths(text: str) -> list[str]:
    folder, _, start = text.rpartition("/")
    place = Path(f"{folder}/" if "/" in text else ".").expanduser()
    try:
        found = [p for p in place.iterdir() if p.name.startswith(start) and (start or not p.name.startswith("."))]
    except OSError:
        return []
    head = f"{folder}/" if "/" in text else ""
    return sorted(f"{head}{p.name}{'/' if p.is_dir() else ''}" for p in found)
