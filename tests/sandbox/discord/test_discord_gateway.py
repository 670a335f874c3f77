"""The gateway: shards, dropped connections, resuming, outages, close codes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import discord
import pytest
from discord_bot import Scene, ask, running

from sandbox.discord import DiscordSandbox
from sandbox.discord.snowflake import shard_of


async def _noop(interaction: discord.Interaction[Any]) -> None:
    await interaction.response.send_message("ok", ephemeral=True)


async def test_a_dropped_connection_is_resumed_and_misses_nothing(scene: Scene) -> None:
    scene.bot.todo = _noop
    scene.sandbox.gateway.down = True
    scene.sandbox.gateway.drop_all()
    # Sent while nobody listens; the session keeps it.
    sent = await scene.alice.slash(scene.channel, "do")
    assert sent.delivered_to == 1
    scene.sandbox.gateway.down = False
    assert (await sent.wait_response(5)).kind == "message"
    assert (scene.sandbox.gateway.resumes, scene.sandbox.gateway.identifies) == (1, 1)


async def test_after_an_outage_the_bot_identifies_again(scene: Scene) -> None:
    scene.bot.todo = _noop
    back = scene.sandbox.outage(0.1)
    assert not scene.sandbox.gateway.ready
    lost = await scene.alice.slash(scene.channel, "do")
    assert lost.delivered_to == 0
    await back
    await scene.sandbox.wait_ready(15)
    sent = await scene.alice.slash(scene.channel, "do")
    assert (await sent.wait_response(5)).kind == "message"
    assert scene.sandbox.gateway.identifies == 2
    assert lost.response is None


async def test_discord_may_ask_to_reconnect(scene: Scene) -> None:
    await scene.sandbox.gateway.ask_reconnect()
    await scene.sandbox.wait_for(lambda: scene.sandbox.gateway.resumes == 1, 5, "the resume")
    assert scene.sandbox.violations == []


async def test_each_shard_gets_its_own_guilds(point: Callable[[DiscordSandbox], None]) -> None:
    async with DiscordSandbox(shards=2, max_concurrency=2) as sandbox:
        point(sandbox)
        guilds = [sandbox.create_guild(f"guild {n}") for n in range(3)]
        for guild in guilds:
            guild.create_channel("general")
        assert {shard_of(guild.id, 2) for guild in guilds} == {0, 1}
        async with running(sandbox) as bot:
            assert bot.shard_count == 2
            seen: list[tuple[int, int]] = []

            async def todo(interaction: discord.Interaction[Any]) -> None:
                assert interaction.guild is not None
                seen.append((interaction.guild.id, interaction.guild.shard_id))
                await interaction.response.defer()

            for guild in guilds:
                alice = guild.create_member("alice")
                sent, _ = await bot.run_in(alice, next(iter(guild.channels.values())), todo)
                assert sent.delivered_to == 1
            assert seen == [(guild.id, shard_of(guild.id, 2)) for guild in guilds]
            assert sandbox.violations == []


async def test_a_wrong_token_does_not_log_in(point: Callable[[DiscordSandbox], None]) -> None:
    async with DiscordSandbox() as sandbox:
        point(sandbox)
        client = discord.Client(intents=discord.Intents.none())
        with pytest.raises(discord.LoginFailure):
            await client.login("wrong")
        await client.close()


IDENTIFY = {"token": "sandbox-token", "intents": 1, "properties": {}}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"op": 2, "d": IDENTIFY | {"token": "x"}}, 4004),
        ({"op": 2, "d": IDENTIFY | {"shard": [2, 2]}}, 4010),
        ({"op": 2, "d": IDENTIFY | {"intents": 1 << 40}}, 4013),
        ({"op": 2, "d": IDENTIFY | {"intents": 2}}, 4014),
        ({"op": 99, "d": None}, 4001),
        ({"op": 3, "d": {}}, 4003),
        ("nonsense", 4002),
    ],
)
async def test_close_codes(payload: Any, code: int) -> None:
    async with (
        DiscordSandbox() as sandbox,
        aiohttp.ClientSession() as session,
        session.ws_connect(sandbox.gateway_url + "?v=10&encoding=json") as socket,
    ):
        hello = await socket.receive_json(timeout=2)
        assert (hello["op"], hello["d"]["heartbeat_interval"]) == (10, 41250)
        await socket.send_str(payload if isinstance(payload, str) else json.dumps(payload))
        message = await socket.receive(timeout=2)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)


async def test_a_client_without_heartbeat_is_closed() -> None:
    async with (
        DiscordSandbox(heartbeat_seconds=0.05) as sandbox,
        aiohttp.ClientSession() as session,
        session.ws_connect(sandbox.gateway_url) as socket,
    ):
        await socket.receive_json(timeout=2)
        await socket.send_json({"op": 1, "d": None})
        assert (await socket.receive_json(timeout=2))["op"] == 11
        message = await socket.receive(timeout=2)
        assert message.data == 4009


async def test_an_unknown_session_is_invalid_and_identifies_are_spaced() -> None:
    async with DiscordSandbox(shards=2) as sandbox, aiohttp.ClientSession() as session:
        first = await session.ws_connect(sandbox.gateway_url)
        second = await session.ws_connect(sandbox.gateway_url)
        for socket in (first, second):
            await socket.receive_json(timeout=2)
        await first.send_json({"op": 6, "d": {"token": sandbox.token, "session_id": "x", "seq": 1}})
        assert await first.receive_json(timeout=2) == {"op": 9, "d": False}
        await first.send_json({"op": 2, "d": IDENTIFY | {"shard": [0, 2]}})
        assert (await first.receive_json(timeout=2))["t"] == "READY"
        await second.send_json({"op": 2, "d": IDENTIFY | {"shard": [1, 2]}})
        assert (await second.receive_json(timeout=2))["op"] == 9
        assert len(sandbox.violations) == 1
        await asyncio.gather(first.close(), second.close())


async def test_gateway_bot_gives_its_own_address() -> None:
    async with DiscordSandbox() as sandbox:
        answer = await ask(sandbox, "GET", "/gateway/bot")
        assert (answer.json["url"], answer.json["shards"]) == (sandbox.gateway_url, 1)
