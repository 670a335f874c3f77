"""Waiting for what comes of an interaction, as a person at the screen would: the card, the render, the posted video."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from sandbox.cloudflare import Fault
from sandbox.cloudflare.faults import MAY_BE_CHARGED
from sandbox.demo.stand import Stand
from sandbox.discord import Actor, Channel, Interaction, Message, SandboxTimeout

CARD_SECONDS = 1.5
"""How long after its answer a bot may take to show a card for a request that it took."""
_LOOK_SECONDS = 0.1
_FINAL_LABELS = frozenset({"Retry"})

Report = Callable[[str, float | None], None]
"""Told what is going on, and how much of it is done (0 to 1, None where nobody knows)."""


def silent(_stage: str, _done: float | None) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class Outcome:
    """`posted` is the video's message, `failed` the card that says why there is none. Both None: no job came of it.

    `pending` is what the bot still does, when the wait was given up before the end."""

    posted: Message | None = None
    failed: Message | None = None
    pending: str | None = None


class Follower:
    """Follows requests of one person in one channel. `alive` raises when the bot is gone."""

    def __init__(self, stand: Stand, alive: Callable[[], None], *, card_seconds: float = CARD_SECONDS) -> None:
        self._stand, self._alive, self._card_seconds = stand, alive, card_seconds
        self._taken: set[int] = set()

    async def answer(self, sent: Interaction, seconds: float = 15.0) -> None:
        """Until the person reads an answer: a message, a form, or that the press was seen.

        Raises SandboxTimeout with Discord's own sentence when the bot stays silent.
        """
        try:
            await self._until(lambda: sent.response is not None, 5.0)
        except SandboxTimeout:
            raise SandboxTimeout("The application did not respond.") from None
        if sent.response and sent.response.kind in {"message", "deferred"}:
            try:
                await self._until(lambda: sent.original is not None and not sent.original.loading, seconds)
            except SandboxTimeout:
                raise SandboxTimeout("The bot still says that it is thinking.") from None

    async def card(self, sent: Interaction) -> Message | None:
        """The public card that follows the answer, None if none comes in time."""

        def found() -> Message | None:
            return next((message for message in sent.followups if not message.ephemeral), None)

        try:
            await self._until(lambda: found() is not None, self._card_seconds)
        except SandboxTimeout:
            return None
        return found()

    async def change(self, message: Message) -> None:
        """Until the message is changed or deleted, or for long enough that nothing will come."""
        edits = message.edits
        with suppress(SandboxTimeout):
            await self._until(lambda: message.deleted or message.edits != edits, self._card_seconds)

    async def outcome(
        self,
        sent: Interaction,
        person: Actor,
        seconds: float,
        report: Report = silent,
        *,
        idle_seconds: float | None = None,
    ) -> Outcome:
        """What becomes of the request, within `seconds`. Raises SandboxTimeout when it is still under way then.

        With `idle_seconds` the wait ends when the model was asked nothing for so long."""
        start, idle_since = self._stand.cloudflare.clock(), None
        card = await self.card(sent)
        if card is None:
            return Outcome()
        before = {m.id for m in self._videos(person, sent.channel) if m.id < sent.id} | self._taken

        def posted() -> Message | None:
            new = (m for m in self._videos(person, sent.channel) if m.id not in before)
            return next((m for m in new if person.user.id in m.pings.users), None)

        def over() -> bool:
            return _final(card) or (card.deleted and posted() is not None)

        def idle() -> bool:
            nonlocal idle_since
            now, busy = asyncio.get_running_loop().time(), self._stage(card)[0] != "waiting"
            idle_since = None if busy else now if idle_since is None else idle_since
            return idle_seconds is not None and idle_since is not None and now - idle_since >= idle_seconds

        await self._until(lambda: over() or idle(), seconds, lambda: report(*self._stage(card)))
        if not over():
            return Outcome(pending=self._still_does(start))
        found = None if _final(card) else posted()
        if found is not None:
            self._taken.add(found.id)
        return Outcome(found, None if found else card)

    def _videos(self, person: Actor, channel: Channel) -> Iterator[Message]:
        for message in (*channel.messages, *person.dms):
            if message.media and message.author is self._stand.discord.bot_user:
                yield message

    def _stage(self, card: Message) -> tuple[str, float | None]:
        cloud = self._stand.cloudflare
        calls = [call for call in cloud.calls if call.finished is None]
        if card.deleted:
            return "posting", None
        if not calls:
            return "waiting", None
        call = calls[-1]
        whole = cloud.seconds_to_render(call)
        done = (cloud.clock() - call.at) / whole if whole else 0.0
        return ("rendering", min(done, 1.0)) if done < 1 else ("drawing the clip", None)

    def _still_does(self, since: float) -> str:
        calls = [call for call in self._stand.cloudflare.calls if call.at >= since]
        if not calls:
            return "the request still waits in line"
        if calls[-1].fault in MAY_BE_CHARGED | {Fault.CONNECTION_LOST}:
            limit = f"{self._stand.timeout_seconds:g}"
            return f"the bot is still looking for the video (until its render timeout, {limit} s)"
        return "the bot will ask the model again after a pause"

    async def _until(
        self, condition: Callable[[], bool], seconds: float, look: Callable[[], None] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            self._alive()
            if look is not None:
                look()
            left = deadline - loop.time()
            if left <= 0:
                raise SandboxTimeout(f"nothing came of it within {seconds:g} s")
            try:
                await self._stand.discord.wait_for(condition, min(left, _LOOK_SECONDS))
            except SandboxTimeout:
                continue


def _final(card: Message) -> bool:
    """Whether the card tells an end: it offers to ask again, or it has become one sentence without a button."""
    labels = {button.label for button in card.buttons}
    return not card.deleted and bool(labels & _FINAL_LABELS or "**Cancelled**" in card.text)
