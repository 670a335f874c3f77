"""The session's own words: looking around, changing who acts, and making things go wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.demo import show
from sandbox.demo.faults import fault_list, read_fault
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
        folder = target if words[0].endswith("/") or target.is_dir() else target.parent
        if not folder.is_dir():
            raise SandboxError(f"There is no folder {folder}; nothing was copied.")
        target = target / path.name if target.is_dir() else target
        path = Path(shutil.copyfile(path, target)).absolute()
    session.console.print(str(path), markup=False, soft_wrap=True)


def _open(session: Session, rest: str) -> None:
    if (rest and not rest.startswith("#")) or " " in rest:
        raise SandboxError("open [#3] tells where a video is; save [#3] <path> copies it.")
    _save(session, rest)


def _fault(session: Session, rest: str) -> None:
    if not rest:
        session.say(fault_list())
        return
    kind, times = read_fault(rest)
    session.stand.cloudflare.fail_next(kind, times)
    session.say(f"The next {'call fails' if times == 1 else f'{times} calls fail'} so: {kind.value}.")


def _render(session: Session, rest: str) -> None:
    try:
        seconds = float(rest)
    except ValueError:
        raise SandboxError("Say how many seconds a video takes from now on: render 10") from None
    if not 0 <= seconds <= 600:
        raise SandboxError("From 0 to 600 seconds.")
    session.stand.cloudflare.render_seconds = seconds
    session.say(f"A video takes {seconds:g} s from now on.")
    if session.bot and seconds >= session.stand.timeout_seconds:
        session.say(
            f"That is too long for the bot here: it waits {session.stand.timeout_seconds:g} s, then gives it up."
        )


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
    "save": Tool("save [#3] [path]", "copy a video's mp4 there; without a path: where it is", _save),
    "open": Tool("open [#3]", "tell where a video's mp4 is, for your own player", _open),
    "fault": Tool("fault [kind] [times]", "make the model fail; alone it lists the kinds", _fault),
    "render": Tool("render 10", "how many seconds a video takes", _render),
    "charged": Tool("charged", "what would have been charged", _charged),
    "log": Tool("log", "the end of the bot's log", _log),
}

BUTTONS = {
    "cancel": "a request can be cancelled only while it waits in line",
    "extend": "it is under a posted video",
    "edit": "it is under a posted video",
    "details": "it is under a posted video",
    "delete": "it is under a posted video",
    "retry": "it is under a posted video, and under a request that failed",
}
"""The bot's buttons, and where each of them is."""

_FIRST = (
    ("/video generate …", "a command; options as name:value, files as image:path"),
    ("… &", "after a command: do not wait for its video (so cancel can be pressed)"),
    ("extend, press 1", "a newest button by name or number; extend #3: on message 3"),
)


_RECIPE = """\
To see cancel work: a request can be cancelled only while it waits in line, and two run at a time. So:
  render 15
  /video generate one duration:2 &      and the same for two and three
  cancel"""


def help_text(slashes: list[Slash]) -> str:
    """Everything that can be typed."""
    rows = [*_FIRST, *((tool.usage, tool.meaning) for tool in TOOLS.values())]
    rows += [("help [word]", "this, or about one word or command"), ("quit", "end; so do Ctrl-C and Ctrl-D")]
    lines = [f"  {usage:<22}  {meaning}" for usage, meaning in rows]
    commands = [f"  {slash.usage}" for slash in slashes]
    heading = "Commands of the bot:" if commands else "No bot is connected yet."
    return "\n".join([*lines, "", _RECIPE, "", heading, *commands])


def help_about(words: str, slashes: list[Slash]) -> str:
    """About one word of the session, a button, or the commands of the bot that begin so. Raises SandboxError."""
    name = " ".join(words.lower().removeprefix("/").split())
    if name == "fault":
        return fault_list()
    if name in TOOLS:
        return f"  {TOOLS[name].usage:<22}  {TOOLS[name].meaning}"
    if name in BUTTONS:
        more = f"\n\n{_RECIPE}" if name == "cancel" else ""
        return f"  {name} presses that button: {BUTTONS[name]}{more}"
    found = [slash for slash in slashes if f"{slash.path} ".startswith(f"{name} ")]
    if not found:
        raise SandboxError(f"There is no help about “{name}”; help alone tells what there is.")
    return "\n\n".join(_slash_help(slash) for slash in found)


def _slash_help(slash: Slash) -> str:
    lines = [f"/{slash.path}  {slash.description}".rstrip()]
    for name, spec in slash.options.items():
        choices = ", ".join(str(choice["value"]) for choice in spec.get("choices") or ())
        needed = " (needed)" if spec.get("required") else ""
        lines.append(f"  {name + ':':<16} {spec.get('description', '')}{needed}")
        if choices:
            lines.append(f"  {'':<16} one of {choices}")
    return "\n".join(lines)
