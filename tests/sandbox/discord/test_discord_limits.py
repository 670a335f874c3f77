"""Rate limits, doubled messages, and the faults that a test can ask for."""

from typing import Any

import aiohttp
import discord
import pytest
from discord_bot import Clock, Scene, ask

from sandbox.discord import Channel, DiscordSandbox
from sandbox.discord.ratelimits import RateLimits

Place = tuple[DiscordSandbox, Channel]


async def test_a_bucket_runs_out_and_says_so(place: Place) -> None:
    sandbox, channel = place
    path = f"/channels/{channel.id}/messages"
    answers = [await ask(sandbox, "POST", path, {"content": str(n)}) for n in range(6)]
    assert [a.headers["X-RateLimit-Remaining"] for a in answers] == ["4", "3", "2", "1", "0", "0"]
    last = answers[-1]
    assert (last.status, last.json["global"]) == (429, False)
    assert 0 < last.json["retry_after"] <= 5
    assert float(last.headers["Retry-After"]) > 0
    assert {"Via", "X-RateLimit-Bucket", "X-RateLimit-Reset", "X-RateLimit-Reset-After"} <= set(last.headers)
    assert len(channel.messages) == 5
    other = channel.guild.create_channel("other") if channel.guild else channel
    assert (await ask(sandbox, "POST", f"/channels/{other.id}/messages", {"content": "x"})).status == 200
    assert sandbox.ratelimits.invalid_requests == 1
    assert sandbox.violations == []


async def test_the_whole_bot_has_a_limit_that_interactions_do_not_touch(place: Place) -> None:
    sandbox, channel = place
    sandbox.ratelimits = RateLimits(global_per_second=1)
    first = await ask(sandbox, "GET", "/users/@me")
    second = await ask(sandbox, "GET", f"/channels/{channel.id}")
    assert (first.status, second.status, second.json["global"]) == (200, 429, True)
    assert second.headers["X-RateLimit-Global"] == "true"
    callback = await ask(sandbox, "POST", "/interactions/1/x/callback", {"type": 5})
    assert callback.code == 10062


async def test_too_many_invalid_requests_ban(place: Place) -> None:
    sandbox, _ = place
    sandbox.ratelimits = RateLimits(invalid_limit=2)
    for _ in range(2):
        assert (await ask(sandbox, "GET", "/users/@me", token="x")).status == 401
    banned = await ask(sandbox, "GET", "/users/@me")
    assert (banned.status, "Via" in banned.headers) == (429, False)


async def test_discord_py_waits_out_a_429(scene: Scene) -> None:
    scene.sandbox.fail_next("POST /channels/*/messages", 429, retry_after=0.05)
    await scene.target.send("at last")
    assert [message.text for message in scene.channel.messages] == ["at last"]
    assert [record.status for record in scene.sandbox.calls("POST /channels/*/messages")] == [429, 200]


async def test_the_same_nonce_returns_the_first_message(scene: Scene, clock: Clock) -> None:
    first = await scene.target.send("one", nonce="job-1")
    again = await scene.target.send("two", nonce="job-1")
    assert (again.id, again.content) == (first.id, "one")
    await scene.target.send("three", nonce="job-2")
    clock.ahead = 301
    await scene.target.send("four", nonce="job-1")
    assert [message.text for message in scene.channel.messages] == ["one", "three", "four"]
    assert scene.sandbox.nonce_hits == 1
    body = {"content": "five", "nonce": "job-1"}
    await ask(scene.sandbox, "POST", f"/channels/{scene.channel.id}/messages", body)
    assert scene.channel.messages[-1].text == "five"


async def test_an_answer_can_be_lost_after_its_effect(scene: Scene) -> None:
    scene.sandbox.fail_next("POST /channels/*/messages", 0, after=True)
    with pytest.raises(aiohttp.ClientError):
        await scene.target.send("posted", nonce="n")
    await scene.target.send("posted", nonce="n")
    assert [message.text for message in scene.channel.messages] == ["posted"]


@pytest.mark.parametrize(("status", "code", "error"), [(403, 50013, discord.Forbidden), (404, 10003, discord.NotFound)])
async def test_any_refusal_can_be_had(scene: Scene, status: int, code: int, error: Any) -> None:
    scene.sandbox.fail_next("/channels/*/messages", status, code)
    with pytest.raises(error) as caught:
        await scene.target.send("x")
    assert caught.value.code == code
    await scene.target.send("y")
    assert [message.text for message in scene.channel.messages] == ["y"]
    assert scene.sandbox.violations == []


async def test_rest_can_be_away_and_slow(scene: Scene) -> None:
    scene.sandbox.stop_rest()
    with pytest.raises(discord.DiscordServerError):
        await scene.target.send("x")
    scene.sandbox.stop_rest(refuse=True)
    with pytest.raises(aiohttp.ClientError):
        await scene.target.send("x")
    scene.sandbox.start_rest()
    scene.sandbox.set_latency(lambda method, path: 0.05 if method == "POST" else 0.0)
    await scene.target.send("x")
    assert scene.sandbox.calls("POST /channels/*/messages")[-1].seconds >= 0.05


async def test_requests_are_recorded(scene: Scene) -> None:
    await scene.target.send("x", file=discord.File(__file__, "a.py"))
    record = scene.sandbox.calls("POST /channels/*/messages")[-1]
    assert (record.status, record.json["content"], record.files[0][0]) == (200, "x", "a.py")
    assert scene.sandbox.route_counts["POST /channels/{channel_id}/messages"] == 1
