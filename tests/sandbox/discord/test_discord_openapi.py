"""Bodies against Discord's own description, and driving the stand-in from another process."""

import base64
from typing import Any

import aiohttp
import pytest
from discord_bot import OPENAPI, Scene, ask, png

from sandbox.discord import Channel, DiscordSandbox

Place = tuple[DiscordSandbox, Channel]
there = pytest.mark.skipif(not OPENAPI.is_file(), reason=f"Discord's OpenAPI description is not at {OPENAPI}")


@there
@pytest.mark.parametrize(
    "body",
    [
        {"content": "x", "flags": "many"},
        {
            "content": "x",
            "components": [{"type": 1, "components": [{"type": 2, "style": 1, "custom_id": "a", "label": 3}]}],
        },
        {"content": "x", "embeds": [{"color": -1, "title": "x"}]},
        {"content": "x", "message_reference": {"message_id": "abc"}},
    ],
)
async def test_a_body_that_the_description_refuses_is_a_breach(place: Place, body: dict[str, Any]) -> None:
    sandbox, channel = place
    assert sandbox.openapi is not None
    answer = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", body)
    assert (answer.status, answer.code) == (400, 50035)
    assert len(sandbox.violations) == 1
    assert channel.messages == []


@there
async def test_ids_may_be_integers_as_discord_py_sends_them(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    alice = channel.guild.create_member("alice")
    mine = await alice.say(channel, "x")
    body = {
        "content": "x",
        "message_reference": {"message_id": mine.id, "channel_id": channel.id},
        "allowed_mentions": {"parse": [], "users": [alice.id]},
        "attachments": [{"id": 0, "filename": "a.png"}],
        "components": [
            {"type": 1, "id": 3, "components": [{"type": 2, "id": 4, "style": 1, "custom_id": "a", "label": "x"}]}
        ],
    }
    answer = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", body, files=[("a.png", png())])
    assert (answer.status, sandbox.violations) == (200, [])


@there
async def test_command_definitions_are_checked_too(place: Place) -> None:
    sandbox, _ = place
    body = [{"name": "a", "description": "b", "type": 1, "contexts": [0, 0]}]
    answer = await ask(sandbox, "PUT", f"/applications/{sandbox.application_id}/commands", body)
    assert (answer.status, answer.code) == (400, 50035)


async def test_everything_can_be_done_from_another_process(scene: Scene) -> None:
    base = f"http://{scene.sandbox.cdn_host}/sandbox"

    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> Any:
            async with session.get(f"{base}/{path}") as response:
                return await response.json()

        async def post(path: str, body: Any) -> Any:
            async with session.post(f"{base}/{path}", json=body) as response:
                return await response.json() | {"status": response.status}

        assert (await get("ready"))["ready"]
        [guild] = await get("guilds")
        channel = guild["channels"][0]["id"]
        assert {member["name"] for member in guild["members"]} >= {"alice", "bob", "Cinecord"}
        file = {"file": "cat.png", "data": base64.b64encode(png()).decode()}
        act = {"user": "alice", "channel": channel, "name": "video make", "values": {"prompt": "hi", "image": file}}
        sent = await post("slash", act)
        done = await get(f"interactions/{sent['id']}?wait=message")
        assert done["original"]["text"].startswith("hi | None | None | None | cat.png image/png 3x2")
        assert [m["id"] for m in await get(f"channels/{channel}/messages?as=alice")] == [done["original"]["id"]]
        assert await get(f"channels/{channel}/messages?as=bob") == []
        said = await post("say", {"user": "bob", "channel": channel, "content": "look", "files": [file]})
        menu = await post("context_menu", {"user": "alice", "message": said["id"], "name": "Look at it"})
        looked = await get(f"interactions/{menu['id']}?wait=message")
        assert looked["original"]["text"] == "saw look 1"
        bad = await post("slash", act | {"values": {}})
        assert (bad["status"], "needs" in bad["error"]) == (409, True)
        missing = await post("click", {"user": "bob", "message": "1", "label": "x"})
        assert missing["status"] == 404
        state = await get("state")
        changed = await get(f"changes?since={state['changes'] - 1}&timeout=1")
        assert changed["changed"]
        made = await post("guilds", {"name": "New", "channels": ["a"], "members": ["carol"]})
        assert made["channels"][0]["name"] == "a"
