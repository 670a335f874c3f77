"""A bot on simcord's Discord with real services behind it, and what its tests look at."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle
from simcord.components import walk_components
from simcord.env import Env
from simcord.results import InteractionResult

from bot.client import Cinecord
from bot.model import Operation, Request
from bot.services import Services
from bot.store.records import Job, NewJob, State, Video
from tests.bot.parts import clip, files_in

PROMPT = "a fox in the snow"
CARD_SECONDS = 60.0
"""The pause between two rounds of card updates; see conftest.py."""


@dataclass
class Stage:
    """One guild with a channel, two members and a moderator. `path` is the database's file."""

    env: Env
    services: Services
    guild: GuildHandle
    channel: ChannelHandle
    ann: MemberActor
    bob: MemberActor
    mod: MemberActor
    path: Path
    logs: list[Any] = field(default_factory=list)

    @property
    def bot(self) -> Cinecord:
        assert isinstance(self.env.bot, Cinecord)
        return self.env.bot

    @property
    def dispatch(self) -> Any:
        return self.bot.get_cog("Dispatch")

    async def restart(self) -> None:
        """Another process takes over the same database and the same Discord."""
        await self.env.restart_bot(Cinecord(self.services, dispatching=False))
        slow_down_cards()

    async def move_line(self) -> None:
        """Somebody left the line; the round of card updates that follows is over."""
        with self.env._bot_scope():
            for _ in range(5):
                self.bot.dispatch("line_moved", self.guild.id)
        await self.env.advance_time(CARD_SECONDS + 1)

    def hidden_channel(self) -> ChannelHandle:
        """A channel that only moderators and the bot see."""
        assert self.guild.me is not None
        seen = discord.PermissionOverwrite(view_channel=True)
        unseen = discord.PermissionOverwrite(view_channel=False)
        rules = {self.guild.default_role: unseen, self.guild.roles["Mods"]: seen, self.guild.me: seen}
        return self.guild.create_text_channel("secret", overwrites=rules)

    # --- what is left of it

    def rows(self, table: str = "jobs") -> list[dict[str, Any]]:
        """The rows of a table, oldest first, read by a connection of the test's own."""
        connection = sqlite3.connect(self.path)
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]
        connection.close()
        return found

    def requests(self) -> list[dict[str, Any]]:
        """What the rows of `jobs` ask of the model, oldest first."""
        return [json.loads(row["request"]) for row in self.rows()]

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]

    def money(self) -> list[str]:
        return [row["state"] for row in self.rows("ledger")]

    def files(self) -> list[str]:
        return files_in(self.services.settings.storage.path)

    def messages(self, channel: ChannelHandle | None = None) -> list["Seen"]:
        """The channel's messages that everybody sees, oldest first."""
        stored = self.env.backend.messages.get((channel or self.channel).id, {}).values()
        return [Seen(message) for message in stored if not message.is_ephemeral]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.logs if line["event"] == event]

    def discord_saw(self) -> str:
        """Every message, answer and form that the bot sent to Discord, as one text."""
        return "\n".join(json.dumps(request.json, default=str) for request in self.env.http_requests)

    # --- jobs in any state

    async def job(self, state: State = State.QUEUED, **given: Any) -> Job:
        """A job that went through every state up to `state`, as Ann's in the channel, with no card."""
        seconds, content = given.pop("seconds", 2.0), given.pop("content", None)
        request = Request(operation=Operation.GENERATE, prompt=given.pop("prompt", PROMPT), duration=2)
        values: dict[str, Any] = {
            "guild_id": self.guild.id,
            "channel_id": self.channel.id,
            "user_id": self.ann.id,
            "request": request,
            "request_key": f"test:{len(self.rows())}",
            "price": 160_000,
            "upload_limit": 10 << 20,
        }
        job = (await self.services.jobs.accept(NewJob(**(values | given)))).job
        return job if state is State.QUEUED else await self.bring(job, state, seconds=seconds, content=content)

    async def bring(self, job: Job, state: State, *, seconds: float = 2.0, content: bytes | None = None) -> Job:
        """Bring a queued job on: claimed, rendered with a real clip in storage, posted by the bot's own delivery."""
        claimed = await self.services.jobs.claim(room=1)
        assert claimed is not None
        assert claimed.id == job.id
        if state is State.SUBMITTED:
            return claimed
        rendered = await self._render(claimed, seconds, clip(self.path.parent) if content is None else content)
        if state is State.RENDERED:
            return rendered
        await self.dispatch._resume(rendered)
        await self.env.settle()
        posted = await self.services.jobs.get(job.id)
        assert posted is not None
        assert posted.state is State.POSTED
        return posted

    async def _render(self, job: Job, seconds: float, content: bytes) -> Job:
        path = self.path.parent / "made.mp4"
        path.write_bytes(content)
        await self.services.storage.save(job.video_key, path)
        rendered = await self.services.jobs.rendered(job.id, size=len(content))
        assert rendered is not None
        await self.services.videos.measure(job.id, seconds=seconds, width=64, height=48, size=len(content))
        return rendered[0]

    async def posted(self, **given: Any) -> tuple[Job, discord.Message]:
        """A posted video and its message."""
        job = await self.job(State.POSTED, **given)
        return job, next(message for message in self.channel.history() if message.id == job.message_id)

    async def video(self, job: Job) -> Video:
        found = await self.services.videos.get(job.id, guild_id=job.guild_id)
        assert found is not None
        return found


def slow_down_cards() -> None:
    # Loading an extension makes its module anew, so this is the one that the running bot has.
    vars(sys.modules["cogs.status"]).update(CARD_SECONDS=CARD_SECONDS, GRACE_SECONDS=0.0)


class Seen:
    """A message as people see it: its text, its buttons by label, its files, and whom it pinged."""

    def __init__(self, message: Any) -> None:
        self.stored = message
        self.id: int = message.id
        self.text = "\n".join(filter(None, [message.content, *texts(message.components)]))
        self.buttons = {part["label"]: part for part in parts(message.components) if part["type"] == 2}
        self.files = [attachment["filename"] for attachment in message.attachments]
        self.pinged = sorted(message.ping_user_ids)
        self.pings_more = bool(message.ping_role_ids or message.mention_everyone)


def parts(components: Any) -> Iterator[dict[str, Any]]:
    return walk_components(components)


def texts(components: Any) -> list[str]:
    return [part["content"] for part in parts(components) if part["type"] == 10]


def answer(result: InteractionResult) -> str:
    """The one private sentence that the member got."""
    private = [*([result.response] if result.response else []), *result.followups]
    private = [message for message in private if message.ephemeral]
    assert len(private) == 1, private
    return "\n".join([private[0].content, *texts(private[0].components)]).strip()


def refusal(result: InteractionResult) -> str:
    """Like `answer`, where nothing public came with it."""
    assert all(message.ephemeral for message in result.followups)
    return answer(result)


def video_of(job: Job, *, seconds: float, size: int) -> Video:
    return Video(
        id=job.id,
        guild_id=job.guild_id,
        channel_id=job.channel_id,
        user_id=job.user_id,
        operation=job.operation,
        prompt=job.request.prompt,
        parent_id=job.parent_id,
        key=job.video_key,
        seconds=seconds,
        width=64,
        height=48,
        size=size,
        message_id=None,
        created_at=job.created_at,
        deleted_at=None,
    )
