"""A typed line as a slash command: which command it names, and the values of its options.

`/video generate a fox in the snow duration:4 image:~/cat.png`: what stands before the first `name:` is the prompt (the
first text option). Text in double quotes is never looked at for names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.discord import Channel, File, SandboxError
from sandbox.discord import commands as kinds

_LARGEST_FILE = 1024 * 1024 * 1024
_YES, _NO = frozenset({"yes", "true", "on", "1", "y"}), frozenset({"no", "false", "off", "0", "n"})
Pick = Callable[[str, str, dict[str, Any]], str]
"""Chooses a suggestion: (option's name, what was typed, the values so far) to the value to send."""


@dataclass(frozen=True)
class Slash:
    """One command that can be typed: its path ("video generate") and its options by name."""

    path: str
    description: str
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        words = [f"{name}:…" if spec.get("required") else f"[{name}:…]" for name, spec in self.options.items()]
        return " ".join([f"/{self.path}", *words])


def all_slashes(registered: list[dict[str, Any]]) -> list[Slash]:
    """Every path of the registered slash commands."""
    return [found for c in registered if c["type"] == kinds.CHAT_INPUT for found in _paths(c["name"], c)]


def _paths(path: str, spec: dict[str, Any]) -> list[Slash]:
    options = spec.get("options") or []
    inner = [o for o in options if o["type"] in {kinds.SUBCOMMAND, kinds.GROUP}]
    if inner:
        return [found for option in inner for found in _paths(f"{path} {option['name']}", option)]
    return [Slash(path, spec.get("description", ""), {o["name"]: o for o in options})]


def find_slash(line: str, slashes: list[Slash]) -> tuple[Slash, str]:
    """The command that a line starting with "/" names, and the rest of it. Raises SandboxError."""
    words = " ".join(line.removeprefix("/").split()[:3]).lower() + " "
    fitting = [slash for slash in slashes if words.startswith(slash.path + " ")]
    if not fitting:
        head = words.split()[0] if words.split() else ""
        near = [f"/{slash.path}" for slash in slashes if slash.path.startswith(head)] or [f"/{s.path}" for s in slashes]
        raise SandboxError(f"There is no such command. There are: {', '.join(near)}.")
    slash = max(fitting, key=lambda found: len(found.path))
    rest = line.removeprefix("/").split(None, slash.path.count(" ") + 1)
    return slash, rest[-1] if len(rest) > slash.path.count(" ") + 1 else ""


def read_values(slash: Slash, rest: str, channel: Channel, pick: Pick, bases: list[Path]) -> dict[str, Any]:
    """The options' values, of the types that they must have. Raises SandboxError with a sentence for the person."""
    texts = _split(slash, rest)
    values: dict[str, Any] = {}
    for name, text in texts.items():
        spec = slash.options[name]
        if spec.get("autocomplete"):
            values[name] = pick(name, text, values)
        else:
            values[name] = _value(name, text, spec, channel, bases)
    return values


def check_needed(slash: Slash, values: dict[str, Any]) -> None:
    """Raises SandboxError where a needed option has no value."""
    missing = [name for name, spec in slash.options.items() if spec.get("required") and values.get(name) in {None, ""}]
    if missing:
        raise SandboxError(f"/{slash.path} needs {' and '.join(_with_article(name) for name in missing)}")


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def _split(slash: Slash, rest: str) -> dict[str, str]:
    # Quoted text is masked, so that a name in it is not seen; lengths stay.
    masked = re.sub(r'"[^"]*"', lambda quoted: "x" * len(quoted[0]), rest)
    names = "|".join(map(re.escape, slash.options)) or r"(?!)"
    marks = list(re.finditer(rf"(?:^|(?<=\s))({names}):", masked))
    ends = [*(mark.start() for mark in marks[1:]), len(rest)]
    texts = {mark[1]: _unquoted(rest[mark.end() : end]) for mark, end in zip(marks, ends, strict=False)}
    before = _unquoted(rest[: marks[0].start()] if marks else rest)
    if before:
        first = next((n for n, spec in slash.options.items() if spec["type"] == kinds.STRING), None)
        if first is None or first in texts:
            raise SandboxError(f"“{before}” belongs to no option. It goes: {slash.usage}")
        texts = {first: before} | texts
    return texts


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _value(name: str, text: str, spec: dict[str, Any], channel: Channel, bases: list[Path]) -> Any:
    kind = spec["type"]
    for choice in spec.get("choices") or ():
        if text.lower() in {str(choice["name"]).lower(), str(choice["value"]).lower()}:
            return choice["value"]
    if choices := spec.get("choices"):
        raise SandboxError(f"{name}: {text} is none of {', '.join(str(choice['value']) for choice in choices)}")
    if kind in {kinds.INTEGER, kinds.NUMBER}:
        return _number(name, text, whole=kind == kinds.INTEGER)
    if kind == kinds.BOOLEAN:
        if text.lower() not in _YES | _NO:
            raise SandboxError(f"{name}: yes or no, not “{text}”.")
        return text.lower() in _YES
    if kind == kinds.ATTACHMENT:
        return read_file(text, bases)
    if kind in {kinds.USER_OPTION, kinds.CHANNEL, kinds.ROLE, kinds.MENTIONABLE}:
        return named(text, kind, channel)
    return text


def _number(name: str, text: str, *, whole: bool) -> int | float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise SandboxError(f"{name}: a {'whole ' if whole else ''}number, not “{text}”.") from None


def read_file(text: str, bases: list[Path]) -> File:
    """The file at a typed path; a relative one is looked for in each of `bases`."""
    path = Path(text.replace("\\ ", " ").strip("'\"")).expanduser()
    tried = [path] if path.is_absolute() else [base / path for base in bases]
    found = next((place for place in tried if place.is_file()), None)
    if found is None:
        raise SandboxError(f"There is no file {text or 'without a name'}.")
    if found.stat().st_size > _LARGEST_FILE:
        raise SandboxError(f"{text} is larger than Discord takes.")
    return File(found.name, found.read_bytes())


def named(text: str, kind: int, channel: Channel) -> Any:
    """A person, channel or role of the server by its name."""
    guild, name = channel.guild, text.lstrip("@#").lower()
    if guild is None:
        raise SandboxError("That works in a server only.")
    people = {member.user.name.lower(): member for member in guild.members.values()}
    channels = {place.name.lower(): place for place in guild.channels.values()}
    roles = {role.name.lower().lstrip("@"): role for role in guild.roles.values()}
    known: dict[str, Any] = {kinds.CHANNEL: channels, kinds.ROLE: roles, kinds.MENTIONABLE: roles | people}.get(
        kind, people
    )
    if name not in known:
        raise SandboxError(f"There is no {text!r} here, only {', '.join(known)}.")
    return known[name]
