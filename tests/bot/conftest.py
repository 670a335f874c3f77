"""Discord's file host and the model on loopback, and settings for one bot in the test's own folder."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.config import (
    BudgetSettings,
    CloudflareSettings,
    DatabaseSettings,
    DiscordSettings,
    HttpSettings,
    QueueSettings,
    Settings,
    StorageSettings,
)
from sandbox.cloudflare import CloudflareSandbox
from tests.bot.parts import DISCORD_TOKEN, Cdn, MakeSettings, serving


@pytest.fixture
async def cdn() -> AsyncIterator[Cdn]:
    cdn = Cdn()
    async with serving(web.get("/{name:.*}", cdn.get)) as cdn.url:
        yield cdn


@pytest.fixture
async def model() -> AsyncIterator[CloudflareSandbox]:
    async with CloudflareSandbox(quick=True) as running:
        yield running


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings for one bot in `tmp_path`, with whole sections replaced by keyword."""

    def make(**sections: Any) -> Settings:
        given: dict[str, Any] = {
            "discord": DiscordSettings.model_validate({"token": DISCORD_TOKEN}),
            "cloudflare": CloudflareSettings.model_validate({"account_id": "a", "api_token": "t"}),
            "database": DatabaseSettings(url=f"sqlite+aiosqlite:///{tmp_path}/data/cinecord.db"),
            "storage": StorageSettings(path=tmp_path / "files"),
            "http": HttpSettings(listen="127.0.0.1:0"),
            "queue": QueueSettings(per_guild_running=50, per_user_running=50, per_user_waiting=50),
            "budget": BudgetSettings(monthly_usd=Decimal(0)),
        }
        return Settings(**(given | sections))

    return make
