"""The cogs on simcord: a bot with real services (database, folder, decoders) on somebody else's model of Discord.

What was learnt about simcord 3.2.1, for whoever writes tests here:

* An actor's verb returns when nothing that the bot started is at work. Waits for SQLite's threads, for a decoder's
  process or for a socket count as work and are waited for, up to `settle_timeout`; nothing needs `env.external_wait`.
  A loop that waits for work never settles, hence `dispatching=False`, and jobs are brought on by hand.
* A sleep that ends within `settle_timeout` is waited for in real time, a longer one is parked until
  `env.advance_time`. So the pause between two rounds of card updates is made longer here, and skipped by the clock.
* Its Discord is at 2026-01-01 and stands still, and its snowflakes with it: the services get a clock of the same time
  that goes on a millisecond a look, or a search of the history after a time would find nothing.
* Attachments have URLs that nothing serves: `simcord.backend.cdn.CDN_BASE` is pointed at a small server here that
  hands out what simcord holds.
* It drops `nonce` and `enforce_nonce` (look at `env.http_requests`), asks for no Attach Files, and counts no bytes
  against the upload limit, so the tests do.
* It raises plain `discord.HTTPException` for an injected 500, where discord.py raises `DiscordServerError`.
* `Message.ping_user_ids` in `env.backend` holds whom a message pinged; `mentions` holds whoever is named.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import discord
import pytest
import simcord.backend.cdn
import structlog
from aiohttp import web
from simcord.env import Env

from bot.client import Cinecord
from bot.config import DiscordSettings, QueueSettings
from tests.bot.conftest import make_settings
from tests.bot.parts import DISCORD_TOKEN, MakeSettings, opened, serving
from tests.cogs.stage import Stage, slow_down_cards

__all__ = ["make_settings"]


class Clock:
    """Seconds at simcord's present, a millisecond later at each look."""

    def __init__(self) -> None:
        self.env: Env | None = None
        self._looks = itertools.count()

    def __call__(self) -> float:
        now = self.env.now().timestamp() if self.env else 1_767_225_600.0
        return now + next(self._looks) / 1000


@asynccontextmanager
async def started(bot: Cinecord) -> AsyncIterator[Env]:
    """`simcord.run` without its context variable, which a fixture cannot give back."""
    env = Env(bot, shard_count=1)
    await env.start()
    try:
        yield env
    finally:
        await env.shutdown()
    env.raise_errors()


@pytest.fixture
async def stage(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    """A running bot in a guild with people. `@pytest.mark.parametrize("stage", [{"limit": n}], indirect=True)` sets
    limits of the queue.
    """
    clock = Clock()

    async def hand_out(asked: web.Request) -> web.Response:
        assert clock.env is not None
        content = clock.env.backend.cdn.get(str(asked.url))
        return web.Response(status=404) if content is None else web.Response(body=content)

    async with serving(web.get("/{name:.*}", hand_out)) as url:
        monkeypatch.setattr(simcord.backend.cdn, "CDN_BASE", url)
        hosts = DiscordSettings.model_validate({"token": DISCORD_TOKEN, "cdn_hosts": [url.removeprefix("http://")]})
        limits = QueueSettings(**({"per_user_running": 50, "per_guild_running": 50} | getattr(request, "param", {})))
        async with (
            opened(make_settings(discord=hosts, queue=limits), clock=clock) as services,
            started(Cinecord(services, dispatching=False)) as env,
        ):
            clock.env = env
            slow_down_cards()
            guild = env.create_guild()
            mods = guild.create_role("Mods", permissions=discord.Permissions(manage_messages=True))
            people = [env.create_user(name) for name in ("ann", "bob", "mod")]
            ann, bob, mod = (guild.add_member(user, roles=[mods] if user.name == "mod" else []) for user in people)
            await env.settle()
            with structlog.testing.capture_logs() as logs:
                channel = guild.create_text_channel("films")
                yield Stage(env, services, guild, channel, ann, bob, mod, tmp_path / "data" / "cinecord.db", logs)
