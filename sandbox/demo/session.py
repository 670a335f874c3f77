"""The typed session: a person at a terminal runs slash commands, presses buttons and fills in forms."""

from __future__ import annotations

import difflib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.text import Text

from sandbox.cloudflare.media import UndecodableError
from sandbox.demo import show
from sandbox.demo.background import Background
from sandbox.demo.bot_process import BotFailed, BotProcess
from sandbox.demo.clips import Clip, Keeper
from sandbox.demo.complete import Completer
from sandbox.demo.follow import Follower
from sandbox.demo.forms import fill_in
from sandbox.demo.progress import progress
from sandbox.demo.scene import scene_png
from sandbox.demo.stand import Stand
from sandbox.demo.tools import BUTTONS, TOOLS, help_about, help_text
from sandbox.demo.typed import Slash, all_slashes, check_needed, find_slash, read_values
from sandbox.discord import Button, Interaction, Member, Message, SandboxError
from sandbox.discord.interactions import COMPONENT

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds that a video may take beyond its render time before the prompt comes back without it."""
IDLE_SECONDS = 8.0
"""How long nothing may go on with the model before the prompt comes back."""
PICTURE = "hills.png"
Read = Callable[[str], str]

WELCOME = f"""\
Cinecord with stand-ins for Discord and Cloudflare: all stays here, nothing is charged.
The clips are the stand-in's own drawings with a caption; the real model's look different.
You are alice, in #general of the server “Film club”. Try:

  /video generate a fox in the snow duration:4
  /video generate clouds drift over the hills duration:4 image:{PICTURE}
  extend                   presses that button of the newest video

help tells the rest, Tab completes, quit ends."""


class Quit(Exception):
    """The person has had enough."""


class Session:
    """One person's session; `bot` is None where somebody else runs the bot. `read` asks for a line."""

    def __init__(
        self,
        stand: Stand,
        background: Background,
        keeper: Keeper,
        *,
        bot: BotProcess | None = None,
        read: Read = input,
    ) -> None:
        self.stand, self.background, self.keeper, self.bot, self.read = stand, background, keeper, bot, read
        self.console = show.terminal()
        self.person: Member = stand.people["alice"]
        self.channel = stand.channel
        self.bases = [Path.cwd()]
        self.clips: dict[int, Clip] = {}
        self._numbers: dict[int, Message] = {}
        self._seen: dict[int, int] = {}
        self._follower = Follower(stand, self._alive)

    # The loop

    def run(self) -> None:
        """Until `quit` or the end of the input. Raises BotFailed when the bot is gone, KeyboardInterrupt at Ctrl-C."""
        with tempfile.TemporaryDirectory(prefix="cinecord-session-") as folder, Completer(self):
            (Path(folder) / PICTURE).write_bytes(scene_png())
            self.bases = [Path.cwd(), Path(folder)]
            self.say(WELCOME if self.bot else f"{WELCOME}\n(No bot is connected before you start one.)")
            while True:
                self._alive()
                self.news()
                try:
                    self._handle(self.read(f"\n{self.person.user.name} in #{self.channel.name}> ").strip())
                except (EOFError, Quit):
                    return

    def goodbye(self) -> None:
        """What was made, and where it stays."""
        count = len(self.keeper.clips)
        kept = (
            f"{count} video{'s are' if count > 1 else ' is'} kept in {self.keeper.folder}"
            if count
            else "No video was made"
        )
        cost = f"${self.stand.cloudflare.charged_usd:.2f}"
        self.console.print(f"\n{kept}; it would have cost {cost}.\nStopping the bot …", markup=False, soft_wrap=True)

    def _handle(self, line: str) -> None:
        try:
            self._do(line)
        except (SandboxError, OSError, UndecodableError) as refusal:
            self.say(f"✗ {refusal}", "red")
        except (EOFError, Quit, BotFailed):
            raise
        except Exception as error:
            # No typed line may end the session.
            log.debug("a typed line failed", exc_info=error)
            self.say(f"✗ The try-out itself stumbled over this ({type(error).__name__}: {error}).", "red")

    def _do(self, line: str) -> None:
        if not line:
            return
        if line.startswith("/"):
            self._slash(line)
            return
        word, _, rest = line.partition(" ")
        tool = TOOLS.get(word.lower())
        if word.lower() in {"quit", "exit", "bye"}:
            raise Quit
        if word.lower() in {"help", "?"}:
            self.say(help_about(rest, self.slashes()) if rest.strip() else help_text(self.slashes()))
        elif word.lower() == "press":
            self._press(rest)
        elif tool is not None:
            tool.run(self, rest.strip())
        elif any(word.lower() == (b.label or "").lower() for m in self.visible() for b in m.buttons):
            self._press(line)
        elif word.lower() in BUTTONS and (not rest or rest.startswith("#")):
            raise SandboxError(f"no message has that button now; {BUTTONS[word.lower()]}")
        else:
            self._unknown(word)

    def _unknown(self, word: str) -> None:
        labels = {(b.label or "").lower() for m in self.visible() for b in m.buttons}
        near = difflib.get_close_matches(word.lower(), [*TOOLS, "press", "help", "quit", *labels], 1)
        hint = f"Did you mean {near[0]}?" if near else "help tells what there is; commands of the bot start with /."
        self.say(f"✗ “{word}” is nothing that I know. {hint}", "red")

    # What a person does

    def slashes(self) -> list[Slash]:
        """The slash commands that are registered here."""
        registry = self.stand.discord.commands
        return all_slashes([*registry.in_guild.get(self.stand.guild.id, []), *registry.everywhere])

    def _slash(self, line: str) -> None:
        slashes = self.slashes()
        if not slashes:
            raise SandboxError("No bot is connected yet, so there are no commands.")
        wait = not line.endswith(" &")
        slash, rest = find_slash(line.removesuffix(" &"), slashes)

        def pick(name: str, text: str, values: dict[str, Any]) -> str:
            return self._suggestion(slash, name, text, values)

        values = read_values(slash, rest, self.channel, pick, self.bases)
        check_needed(slash, values)
        self._after(self.background.run(self.person.slash(self.channel, slash.path, values)), slash.path, wait=wait)

    def _suggestion(self, slash: Slash, name: str, text: str, values: dict[str, Any]) -> str:
        typed = values | {name: text}
        choices = self.background.run(self.person.autocomplete(self.channel, slash.path, typed, focused=name))
        if any(choice.value == text for choice in choices):
            return text
        if not choices:
            raise SandboxError(f"{name}: nothing here fits “{text}”.")
        for number, choice in enumerate(choices, start=1):
            self.say(f"  {number}  {choice.name}")
        chosen = self.read(f"  {name}: which number? ").strip()
        if not chosen.isdecimal() or not 1 <= int(chosen) <= len(choices):
            raise SandboxError(f"{name}: that is no number from 1 to {len(choices)}; nothing was sent.")
        return choices[int(chosen) - 1].value

    def _press(self, rest: str) -> None:
        words = rest.split()
        wanted = self.message(words.pop()) if words and words[-1].startswith("#") else None
        name = " ".join(words).lower()
        if not name:
            raise SandboxError("Which button? Its name, or press and its number; then #3 for another message.")
        message, button = self._button(name, wanted)
        if button.url is not None:
            self.say(f"That button opens {button.url}")
            return
        if button.disabled:
            raise SandboxError(f"The button {button.label} is off; details says why.")
        sent = self.background.run(self.person.click(message, custom_id=button.custom_id))
        self._after(sent, f"the button {button.label}")

    def _button(self, name: str, wanted: Message | None) -> tuple[Message, Button]:
        candidates = [wanted] if wanted else [m for m in reversed(self.visible()) if m.buttons]
        for message in candidates:
            for number, button in enumerate(message.buttons, start=1):
                if name in {(button.label or "").lower(), str(number)}:
                    return message, button
            if name.isdecimal():
                break
        if name in BUTTONS:
            where = "that message does not have that button" if wanted else "no message has that button now"
            raise SandboxError(f"{where}; {BUTTONS[name]}")
        raise SandboxError(f"There is no button “{name}” {'there' if wanted else 'in sight'}.")

    def _after(self, sent: Interaction, title: str, *, wait: bool = True) -> None:
        """Shows what the bot answers, and follows what comes of it."""
        self.background.run(self._follower.answer(sent))
        if sent.modal is not None:
            submitted = fill_in(sent, self)
            if submitted is None:
                return
            sent = submitted
            self.background.run(self._follower.answer(sent))
        if sent.source is not None and sent.response and sent.response.kind == "deferred_update":
            self.background.run(self._follower.change(sent.source))
        if sent.kind == COMPONENT:
            self.news()
            return
        if self.background.run(self._follower.card(sent)) is None or not wait:
            return
        self.news()
        seconds = PATIENCE + self._render_seconds()
        with progress(title, self.console) as report:
            work = self._follower.outcome(sent, self.person, seconds, report, idle_seconds=IDLE_SECONDS)
            outcome = self.background.run(work)
        if outcome.pending:
            self.say(f"{outcome.pending}; go on meanwhile", "dim")

    def _render_seconds(self) -> float:
        seconds = self.stand.cloudflare.render_seconds
        return 0.0 if callable(seconds) else seconds

    # What a person sees

    def visible(self) -> list[Message]:
        """What this person sees in this channel, oldest first, with direct messages."""
        found = [*self.channel.messages, *self.person.ephemeral(self.channel), *self.person.dms]
        return sorted((m for m in found if not m.deleted and not m.loading), key=lambda m: m.id)

    def news(self) -> None:
        """Shows every message that is new or has changed, and keeps posted videos."""
        for message in self.visible():
            if self._seen.get(message.id) == message.edits:
                continue
            self._seen[message.id] = message.edits
            if message.media and message.id not in self.clips and not message.ephemeral:
                clip = self.keeper.keep(message, self._operation(message))
                if clip is not None:
                    self.clips[message.id] = clip
            self.console.print(show.message_panel(message, self.number(message)))
            if message.id in self.clips:
                clip = self.clips[message.id]
                self.console.print(Text(f"  {clip.facts}  kept as {clip.path}", "cyan"), soft_wrap=True)

    def _operation(self, message: Message) -> str:
        ids = " ".join(button.custom_id or "" for button in message.buttons)
        calls = (c for c in self.stand.cloudflare.calls if c.job and c.job in ids)
        return next((str(c.input.get("_operation", "generate")) for c in calls), "video")

    def number(self, message: Message) -> int:
        """The number of a message, given at first sight."""
        known = next((n for n, m in self._numbers.items() if m is message), None)
        if known is None:
            known = len(self._numbers) + 1
            self._numbers[known] = message
        return known

    def message(self, text: str) -> Message:
        """The message with the number in `#3` or `3`. Raises SandboxError."""
        number = text.removeprefix("#")
        found = self._numbers.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise SandboxError(f"There is no message {text}; messages lists them.")
        return found

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style))

    def _alive(self) -> None:
        if self.bot is not None:
            self.bot.check()
