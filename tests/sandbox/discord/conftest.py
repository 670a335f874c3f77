"""A sandbox with a guild and a small real bot, for each test."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import discord
import pytest
import yarl
from discord_bot import OPENAPI, Clock, Scene, running

from sandbox.discord import Channel, DiscordSandbox


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Callable[[DiscordSandbox], None]:
    """Sends discord.py to a sandbox for the length of a test."""

    def to(sandbox: DiscordSandbox) -> None:
        monkeypatch.setattr(discord.http.Route, "BASE", sandbox.api_url)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(sandbox.gateway_url))

    return to


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(clock: Clock) -> dict[str, Any]:
    """Arguments for the sandbox; a test module may override them."""
    return {"clock": clock}


@pytest.fixture
async def place(settings: dict[str, Any]) -> AsyncIterator[tuple[DiscordSandbox, Channel]]:
    """A sandbox with one channel and no bot, for raw requests."""
    openapi = OPENAPI if OPENAPI.is_file() else None
    async with DiscordSandbox(**({"openapi": openapi} | settings)) as sandbox:
        yield sandbox, sandbox.create_guild("Film club").create_channel("general")


@pytest.fixture
async def scene(point: Callable[[DiscordSandbox], None], settings: dict[str, Any]) -> AsyncIterator[Scene]:
    openapi = OPENAPI if OPENAPI.is_file() else None
    async with DiscordSandbox(**({"openapi": openapi} | settings)) as sandbox:
        point(sandbox)
        guild = sandbox.create_guild("Film club")
        guild.create_channel("general")
        async with running(sandbox) as bot:
            yield Scene(sandbox, bot, guild)
