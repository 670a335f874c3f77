"""The floor: the least discord.py program that makes a video. No database, no queue, no status card, no checks.

It reads the same environment as Cinecord, registers the same `/video generate`, defers, calls the API once, takes the
finished file by PUT as Cinecord does, and posts it. Run by the benchmark as `python -m bench.floor`.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import discord
import httpx
import yarl
from aiohttp import web
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

MODEL = "xai/grok-imagine-video-1.5-preview"


class Floor(discord.Client):
    """The bot, its one HTTP client, and its receiver of uploads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True), member_cache_flags=discord.MemberCacheFlags.none(), max_messages=None
        )
        self.folder = folder
        self.tree = app_commands.CommandTree(self)
        # As many calls at once as there are requests, like Cinecord in this benchmark.
        self.api = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None), trust_env=False)
        self.uploads = ""

    async def setup_hook(self) -> None:
        """Open the receiver, register the command, and find the gateway."""
        app = web.Application()
        app.router.add_put("/{name}", self._receive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.uploads = f"http://127.0.0.1:{runner.addresses[0][1]}"
        _, gateway, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway).with_query(None)
        self.tree.add_command(Video())
        await self.tree.sync()

    async def _receive(self, request: web.Request) -> web.Response:
        with (self.folder / request.match_info["name"]).open("wb") as file:
            async for chunk in request.content.iter_any():
                file.write(chunk)
        return web.Response(status=201)

    async def render(self, given: Mapping[str, object]) -> Path:
        """One paid call; the path of the file that came back by PUT."""
        name = f"{secrets.token_hex(8)}.mp4"
        account = (
            f"{os.environ['CINECORD_CLOUDFLARE__API_URL']}/accounts/{os.environ['CINECORD_CLOUDFLARE__ACCOUNT_ID']}"
        )
        answer = await self.api.post(
            f"{account}/ai/run",
            json={"model": MODEL, "input": {**given, "output": {"upload_url": f"{self.uploads}/{name}"}}},
            headers={"Authorization": f"Bearer {os.environ['CINECORD_CLOUDFLARE__API_TOKEN']}"},
        )
        answer.raise_for_status()
        return self.folder / name


class Video(app_commands.Group):
    """The group `/video`, with the one command that is measured."""

    def __init__(self) -> None:
        super().__init__(name="video", description="Make videos")

    @app_commands.command(description="Make a video from a prompt")
    async def generate(
        self,
        interaction: discord.Interaction[Floor],
        prompt: app_commands.Range[str, 1, 6000],
        image: discord.Attachment | None = None,
        duration: app_commands.Range[int, 1, 15] | None = None,
        aspect_ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3"] | None = None,
        resolution: Literal["480p", "720p"] | None = None,
        size: Literal["848x480", "1696x960", "1280x720", "1920x1080"] | None = None,
    ) -> None:
        """Defer, render, post."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        options = {
            "image": {"url": image.url} if image else None,
            "duration": duration,
            "aspect_ratio": aspect_ratio,
            "resolution": resolution,
            "size": size,
        }
        given = {"_operation": "generate", "prompt": prompt} | {key: value for key, value in options.items() if value}
        path = await interaction.client.render(given)
        channel = interaction.client.get_partial_messageable(interaction.channel_id or 0)
        await channel.send("Your video is ready.", file=discord.File(path))


async def main() -> None:
    """Run until the process is ended."""
    Route.BASE = os.environ["CINECORD_DISCORD__API_URL"]
    with tempfile.TemporaryDirectory(prefix="floor-") as folder:
        async with Floor(Path(folder)) as floor:
            await floor.start(os.environ["CINECORD_DISCORD__TOKEN"])


if __name__ == "__main__":
    asyncio.run(main())
