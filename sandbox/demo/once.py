"""The try-out without questions: a picture becomes a video, the video is extended, the longer one edited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from sandbox.demo.background import Background
from sandbox.demo.clips import Clip, Keeper
from sandbox.demo.follow import Follower, Report
from sandbox.demo.marks import lines_of
from sandbox.demo.progress import progress
from sandbox.demo.scene import scene_png
from sandbox.demo.stand import Stand
from sandbox.discord import Actor, File, Interaction, Message

STEP_SECONDS = 60.0


class StepFailed(Exception):
    """A step did not end as it must; the text says which and how."""


@dataclass(frozen=True)
class Step:
    """`seconds` is the length that its video must have. An edit works on at most 8.7 s, so the sum stays below."""

    name: str
    prompt: str
    seconds: float
    added: int | None = None


STEPS = (
    Step("generate", "clouds drift over the hills while the sun comes up", 4.0),
    Step("extend", "a hot-air balloon rises behind the trees", 8.0, added=4),
    Step("edit", "make it a cold blue evening", 8.0),
)


@dataclass(frozen=True)
class Done:
    """One step that went well: the clip that was kept, and the message that it was posted with."""

    name: str
    clip: Clip
    message: Message

    @property
    def line(self) -> str:
        return f"{self.name:<8}  {self.clip.path}  {self.clip.facts}"


def walk(
    stand: Stand, background: Background, keeper: Keeper, alive: Callable[[], None], console: Console
) -> Iterator[Done]:
    """Takes the steps one by one. Raises StepFailed, SandboxError or BotFailed at the first that goes wrong."""
    follower = Follower(stand, alive, card_seconds=5.0)
    alice = stand.people["alice"]
    message: Message | None = None
    for step in STEPS:
        with progress(step.name, console) as report:
            message = background.run(_take(follower, alice, stand, step, message, report))
        clip = keeper.keep(message, step.name)
        if clip is None or abs(clip.seconds - step.seconds) > 0.3:
            raise StepFailed(f"{step.name}: the posted video is {clip.seconds if clip else 0} s, not {step.seconds} s.")
        if stand.discord.violations:
            faults = "\n".join(f"  {fault}" for fault in stand.discord.violations)
            raise StepFailed(f"{step.name}: the bot sent what Discord would refuse:\n{faults}")
        yield Done(step.name, clip, message)


def last_line(stand: Stand, started: float) -> str:
    """How long all took since `started` (time.monotonic) and what it would have cost."""
    spent = time.monotonic() - started
    return f"took {spent:.1f} s, would have charged ${stand.cloudflare.charged_usd:.2f}"


async def _take(
    follower: Follower, alice: Actor, stand: Stand, step: Step, source: Message | None, report: Report
) -> Message:
    if source is None:
        values = {"prompt": step.prompt, "duration": int(step.seconds), "image": File("hills.png", scene_png())}
        sent = await alice.slash(stand.channel, "video generate", values)
    else:
        sent = await _form(follower, alice, source, step)
    await follower.answer(sent)
    outcome = await follower.outcome(sent, alice, STEP_SECONDS, report)
    if outcome.posted is None:
        told = outcome.failed or sent.original
        raise StepFailed(f"{step.name}: no video was posted. The bot says: {_words(told)}")
    return outcome.posted


def _words(message: Message | None) -> str:
    if message is None:
        return "nothing"
    return " · ".join(line.text for line in lines_of(message.text, message.sandbox))


async def _form(follower: Follower, alice: Actor, source: Message, step: Step) -> Interaction:
    opened = await alice.click(source, step.name.capitalize())
    await follower.answer(opened)
    if opened.modal is None:
        raise StepFailed(f"{step.name}: the button opened no form but {opened.response}.")
    values: dict[str, Any] = {}
    for field in opened.modal.fields:
        if field.kind == "text":
            values[field.custom_id] = step.prompt
        elif step.added is not None:
            values[field.custom_id] = [str(step.added)]
    return await alice.submit(opened, values)
