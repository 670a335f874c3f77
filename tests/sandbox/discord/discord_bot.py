"""A small real discord.py bot on real sockets against the stand-in."""

import asyncio
import contextlib
import io
import os
import re
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from sandbox.discord import Channel, DiscordSandbox, Guild, Member

OPENAPI = Path(os.environ.get("DISCORD_OPENAPI") or Path(__file__).parents[4] / "shared/reference/discord-openapi.json")


def png(width: int = 3, height: int = 2) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Answer:
    """What a raw request got."""

    status: int
    json: Any
    headers: Any

    @property
    def code(self) -> int:
        return self.json["code"]

    @property
    def faults(self) -> set[str]:
        """The paths of the fields that an Invalid Form Body names."""
        return set(_paths(self.json.get("errors", {}), ()))


def _paths(node: Any, above: tuple[str, ...]) -> Iterator[str]:
    for key, value in node.items():
        if key == "_errors":
            yield ".".join(above)
        else:
            yield from _paths(value, (*above, key))


async def ask(
    sandbox: DiscordSandbox, method: str, path: str, json: Any = None, *, files: Any = None, token: str | None = None
) -> Answer:
    """A request as the bot would send it, without discord.py; `files` is a list of (name, data)."""
    data: Any = None
    if files:
        data = aiohttp.FormData(quote_fields=False)
        data.add_field("payload_json", dumps(json))
        for index, (name, content) in enumerate(files):
            data.add_field(
                f"files[{index}]", io.BytesIO(content), filename=name, content_type="application/octet-stream"
            )
        json = None
    headers = {"Authorization": f"Bot {sandbox.token if token is None else token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, sandbox.api_url + path, json=json, data=data, headers=headers) as response,
    ):
        text = await response.text()
        return Answer(response.status, loads(text) if text.startswith(("{", "[")) else text, response.headers)


class AgainButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"again:(?P<number>\d+)"):
    """A button that works without any view in memory."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(discord.ui.Button(label="Again", custom_id=f"again:{number}"))

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: Any, match: re.Match[str], /) -> "AgainButton":
        return cls(int(match["number"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_modal(FormModal(self.number))


class FormModal(discord.ui.Modal, title="Once more"):
    prompt = discord.ui.Label(text="Prompt", component=discord.ui.TextInput(default="a cat", max_length=50))
    files = discord.ui.Label(
        text="Pictures", component=discord.ui.FileUpload(required=False, min_values=0, max_values=3)
    )

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        assert isinstance(self.prompt.component, discord.ui.TextInput)
        assert isinstance(self.files.component, discord.ui.FileUpload)
        names = ", ".join(f"{file.filename} {file.width}x{file.height}" for file in self.files.component.values)
        text = f"{self.number}: {self.prompt.component.value} [{names}]"
        await interaction.response.send_message(text, ephemeral=True)


class Card(discord.ui.LayoutView):
    """A result as the real bot posts it: text, a gallery with an uploaded file, and a row of buttons."""

    def __init__(self, text: str, media: str) -> None:
        super().__init__(timeout=None)
        gallery = discord.ui.MediaGallery(discord.MediaGalleryItem(media))
        row: discord.ui.ActionRow[Any] = discord.ui.ActionRow(
            AgainButton(7), discord.ui.Button(label="No", custom_id="no", disabled=True)
        )
        self.add_item(discord.ui.Container(discord.ui.TextDisplay(text), gallery, row))


class Bot(commands.AutoShardedBot):
    """What tests put into `todo` answers the next /do."""

    def __init__(self, **options: Any) -> None:
        intents = discord.Intents(guilds=True, auto_moderation_configuration=True)
        super().__init__(
            command_prefix=commands.when_mentioned,
            intents=intents,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=0.05,
            **options,
        )
        self.todo: Callable[..., Awaitable[Any]] | None = None
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """No wait between shards: the stand-in is told to allow it."""

    async def setup_hook(self) -> None:
        self.add_dynamic_items(AgainButton)
        self.tree.add_command(app_commands.Command(name="do", description="Does what the test says", callback=self._do))
        group = app_commands.Group(name="video", description="Videos")
        make = app_commands.Command(name="make", description="Makes one", callback=_make)
        make.autocomplete("size")(_suggest)
        group.add_command(make)
        self.tree.add_command(group)
        self.tree.add_command(app_commands.ContextMenu(name="Look at it", callback=_look))
        await self.tree.sync()

    async def _do(self, interaction: discord.Interaction[Any]) -> None:
        try:
            assert self.todo is not None
            result = await self.todo(interaction)
        except Exception as error:  # noqa: BLE001  handed to the test
            self.result.set_exception(error)
        else:
            self.result.set_result(result)

    async def run_in(self, member: Member, channel: Channel, todo: Callable[..., Awaitable[Any]]) -> tuple[Any, Any]:
        """Runs /do with this body; returns the interaction and the body's result, or raises its error."""
        self.todo, self.result = todo, asyncio.get_running_loop().create_future()
        sent = await member.slash(channel, "do")
        return sent, await asyncio.wait_for(self.result, 8)


@app_commands.rename(text="prompt")
@app_commands.describe(text="What to show")
async def _make(
    interaction: discord.Interaction[Any],
    text: app_commands.Range[str, 1, 100],
    image: discord.Attachment | None = None,
    seconds: app_commands.Range[int, 1, 15] | None = None,
    who: discord.Member | None = None,
    size: str | None = None,
) -> None:
    await interaction.response.defer(ephemeral=True)
    parts = [text, str(seconds), str(size), str(who and who.id)]
    if image is not None:
        data = await image.read()
        parts.append(f"{image.filename} {image.content_type} {image.width}x{image.height} {len(data)}")
    await interaction.edit_original_response(content=" | ".join(parts))


async def _suggest(interaction: discord.Interaction[Any], current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=f"{current}!", value=current)]


async def _look(interaction: discord.Interaction[Any], message: discord.Message) -> None:
    await interaction.response.send_message(f"saw {message.content} {len(message.attachments)}", ephemeral=True)


@contextlib.asynccontextmanager
async def running(sandbox: DiscordSandbox, **options: Any) -> AsyncIterator[Bot]:
    """A bot that is connected and ready."""
    bot = Bot(**options)
    task = asyncio.create_task(bot.start(sandbox.token))
    try:
        await sandbox.wait_ready(10)
        await asyncio.wait_for(bot.wait_until_ready(), 10)
        yield bot
    finally:
        await bot.close()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Scene:
    """A sandbox with a guild, a channel, two people, and a connected bot."""

    def __init__(self, sandbox: DiscordSandbox, bot: Bot, guild: Guild) -> None:
        self.sandbox = sandbox
        self.bot = bot
        self.guild = guild
        self.channel = next(iter(guild.channels.values()))
        self.alice = guild.create_member("alice")
        self.bob = guild.create_member("bob")

    async def do(self, todo: Callable[..., Awaitable[Any]], member: Member | None = None) -> tuple[Any, Any]:
        return await self.bot.run_in(member or self.alice, self.channel, todo)

    @property
    def target(self) -> discord.PartialMessageable:
        """The channel for the bot, without any cache."""
        return self.bot.get_partial_messageable(self.channel.id)


def upload(name: str = "cat.png", data: bytes | None = None) -> discord.File:
    return discord.File(io.BytesIO(png() if data is None else data), name)
