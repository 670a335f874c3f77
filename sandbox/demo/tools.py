"""The session's own words: looking around, changing who acts, and making things go wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cloudflare import Fault
from sandbox.demo import show
from sandbox.demo.typed import Slash
from sandbox.discord import SandboxError

if TYPE_CHECKING:
    from sandbox.demo.session import Session


@dataclass(frozen=True)
class Tool:
    """A word that can be typed. `usage` goes before `meaning` in the help."""

    usage: str
    meaning: str
    run: Callable[[Session, str], None]


def _messages(session: Session, rest: str) -> None:
    if rest:
        message = session.message(rest)
        session.console.print(show.message_panel(message, session.number(message)))
        return
    if not session.visible():
        session.say("There are no messages here yet.")
    for message in session.visible():
        session.console.print(show.summary(message, session.number(message)), no_wrap=True, overflow="ellipsis")


def _as(session: Session, rest: str) -> None:
    people = session.stand.people
    if rest.lower() not in people:
        raise SandboxError(f"There are {' and '.join(people)}. Say: as mira")
    session.person = people[rest.lower()]


def _go(session: Session, rest: str) -> None:
    channels = {channel.name: channel for channel in session.stand.guild.channels.values()}
    name = rest.lower().lstrip("#")
    if name not in channels:
        raise SandboxError(f"There are {', '.join(f'#{known}' for known in channels)}. Say: go videos")
    session.channel = channels[name]


def _save(session: Session, rest: str) -> None:
    words = rest.split(maxsplit=1)
    numbered = words and words[0].startswith("#")
    if not session.clips:
        raise SandboxError("No video was posted yet.")
    wanted = session.message(words.pop(0)).id if numbered else next(reversed(session.clips))
    if wanted not in session.clips:
        raise SandboxError("That message has no video.")
    path = session.clips[wanted].path
    if words:
        target = Path(words[0]).expanduser()
        target = target / path.name if target.is_dir() else target
        target.parent.mkdir(parents=True, exist_ok=True)
        path = Path(shutil.copyfile(path, target)).absolute()
    session.console.print(str(path), markup=False, soft_wrap=True)


def _fault(session: Session, rest: str) -> None:
    words = rest.split()
    if not words:
        session.say(f"fault <kind> [times] makes the next calls of the model fail. Kinds: {', '.join(Fault)}")
        return
    times = int(words[1]) if len(words) > 1 and words[1].isdecimal() and 1 <= int(words[1]) <= 100 else 1
    try:
        session.stand.cloudflare.fail_next(words[0].lower(), times)
    except ValueError:
        raise SandboxError(f"There is no such fault. There are: {', '.join(Fault)}.") from None
    session.say(f"The next {'call fails' if times == 1 else f'{times} calls fail'} so: {words[0].lower()}.")


def _render(session: Session, rest: str) -> None:
    try:
        seconds = float(rest)
    except ValueError:
        raise SandboxError("Say how many seconds a video takes from now on: render 10") from None
    if not 0 <= seconds <= 600:
        raise SandboxError("From 0 to 600 seconds.")
    session.stand.cloudflare.render_seconds = seconds
    session.say(f"A video takes {seconds:g} s from now on.")


def _charged(session: Session, _: str) -> None:
    ledger = session.stand.cloudflare.ledger
    for charge in ledger:
        certain = "" if charge.certain else "  (the bot cannot know)"
        session.say(
            f"  {charge.operation:<9} {charge.seconds:.1f} s at {charge.resolution}  ${charge.usd:.2f}{certain}"
        )
    session.say(f"In all ${ledger.total_usd:.2f} would have been charged.")


def _log(session: Session, _: str) -> None:
    words = session.bot.last_words() if session.bot else ""
    session.say(words.strip() or "The log is where the bot was started.")


TOOLS: dict[str, Tool] = {
    "messages": Tool("messages [#3]", "the messages here in short, or one whole", _messages),
    "as": Tool("as mira", "be mira, a moderator (or alice, a member)", _as),
    "go": Tool("go videos", "to another channel", _go),
    "save": Tool("save [#3] [path]", "where a video's mp4 is; with a path, a copy goes there", _save),
    "open": Tool("open [#3]", "the same", _save),
    "fault": Tool("fault [kind] [times]", "make the model fail; alone it lists the kinds", _fault),
    "render": Tool("render 10", "how many seconds a video takes", _render),
    "charged": Tool("charged", "what would have been charged", _charged),
    "log": Tool("log", "the end of the bot's log", _log),
}

_FIRST = (
    ("/video generate …", "a command; options as name:value, files as image:path"),
    ("… &", "after a command: do not wait for its video (so cancel can be pressed)"),
    ("extend, press 1", "a newest button by name or number; extend #3: on message 3"),
)


def help_text(slashes: list[Slash]) -> str:
    """Everything that can be typed."""
    rows = [*_FIRST, *((tool.usage, tool.meaning) for tool in TOOLS.values()), ("quit", "end; so do Ctrl-C and Ctrl-D")]
    lines = [f"  {usage:<22}  {meaning}" for usage, meaning in rows]
    commands = [f"  {slash.usage}" for slash in slashes]
    return "\n".join([*lines, "", "Commands of the bot:" if commands else "No bot is connected yet.", *commands])
