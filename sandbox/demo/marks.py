"""Discord's text marks, as far as a bot's cards use them, taken apart for the terminal and for pictures.

Discord: Markdown Text 101 (bold, quotes, headings, subtext, escapes) and Message Formatting (mentions, timestamps).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from enum import StrEnum

from sandbox.discord import DiscordSandbox

_MARK = re.compile(
    r"\\(?P<escaped>[^\w\s])"
    r"|(?P<bold>\*\*)"
    r"|`(?P<code>[^`]+)`"
    r"|<@!?(?P<user>\d+)>"
    r"|<#(?P<channel>\d+)>"
    r"|<t:(?P<time>-?\d{1,12})(?::(?P<style>[tTdDfFR]))?>"
    r"|\[(?P<label>[^\]]+)\]\((?P<address>[^)\s]+)\)"
)


class Kind(StrEnum):
    """How a line looks."""

    NORMAL = "normal"
    QUOTE = "quote"
    SMALL = "small"
    HEADING = "heading"


@dataclass(frozen=True)
class Span:
    """A run of characters that look alike. A `mention` stands on a coloured ground."""

    text: str
    bold: bool = False
    mention: bool = False


@dataclass(frozen=True)
class Line:
    kind: Kind
    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def lines_of(text: str, sandbox: DiscordSandbox) -> list[Line]:
    """The lines that a reader sees. Characters that could steer a terminal are left out."""
    return [_line(line, sandbox) for line in text.split("\n")]


def _line(line: str, sandbox: DiscordSandbox) -> Line:
    kinds = (("> ", Kind.QUOTE), ("-# ", Kind.SMALL), ("### ", Kind.HEADING), ("## ", Kind.HEADING))
    for mark, kind in (*kinds, ("# ", Kind.HEADING)):
        if line.startswith(mark):
            return Line(kind, tuple(_spans(line.removeprefix(mark), sandbox)))
    return Line(Kind.NORMAL, tuple(_spans(line, sandbox)))


def _spans(text: str, sandbox: DiscordSandbox) -> list[Span]:
    spans: list[Span] = []
    bold, done = False, 0
    for match in _MARK.finditer(text):
        spans.append(Span(_printable(text[done : match.start()]), bold))
        done = match.end()
        if match["bold"]:
            bold = not bold
        else:
            shown = _printable(_shown(match, sandbox))
            spans.append(Span(shown, bold, mention=bool(match["user"] or match["channel"])))
    spans.append(Span(_printable(text[done:]), bold))
    return [span for span in spans if span.text]


def _shown(match: re.Match[str], sandbox: DiscordSandbox) -> str:
    if match["user"]:
        user = sandbox.world.users.get(int(match["user"]))
        return f"@{(user.to_json()['global_name'] or user.name) if user else 'unknown-user'}"
    if match["channel"]:
        channel = sandbox.world.channel(int(match["channel"]))
        return f"#{channel.name if channel else 'unknown'}"
    if match["time"]:
        return _moment(int(match["time"]), match["style"] or "f")
    if match["label"]:
        return f"{match['label']} ({match['address']})"
    return match["escaped"] or match["code"] or ""


def _moment(at: int, style: str) -> str:
    if style != "R":
        return time.strftime({"t": "%H:%M", "T": "%H:%M:%S"}.get(style, "%d %B %Y %H:%M"), time.localtime(at))
    away = round(at - time.time())
    amount = next((f"{abs(away) // n} {unit}" for n, unit in ((3600, "h"), (60, "min")) if abs(away) >= n), None)
    amount = amount or f"{abs(away)} s"
    return f"in {amount}" if away > 0 else f"{amount} ago"


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())
