"""Permissions, channels that are gone, people who take no messages, pings, and files that expire."""

from typing import Any

import aiohttp
import discord
import pytest
from discord_bot import Clock, Scene, ask, png, upload

from sandbox.discord import Channel, DiscordSandbox, Permission

Place = tuple[DiscordSandbox, Channel]


@pytest.mark.parametrize(
    ("denied", "code", "files"),
    [
        (Permission.VIEW_CHANNEL, 50001, None),
        (Permission.SEND_MESSAGES, 50013, None),
        (Permission.ATTACH_FILES, 50013, [("a.png", png())]),
    ],
)
async def test_a_missing_permission_forbids(place: Place, denied: Permission, code: int, files: Any) -> None:
    sandbox, channel = place
    path = f"/channels/{channel.id}/messages"
    assert (await ask(sandbox, "POST", path, {"content": "x"}, files=files)).status == 200
    channel.deny(denied)
    answer = await ask(sandbox, "POST", path, {"content": "x"}, files=files)
    assert (answer.status, answer.code) == (403, code)
    channel.allow(denied)
    assert (await ask(sandbox, "POST", path, {"content": "x"}, files=files)).status == 200
    # A moderator may do this at any time: it is no fault of the bot's.
    assert sandbox.violations == []


async def test_embeds_history_and_automod_need_permissions(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    path = f"/channels/{channel.id}/messages"
    posted = await ask(sandbox, "POST", path, {"content": "x"})
    channel.deny(Permission.EMBED_LINKS, Permission.READ_MESSAGE_HISTORY)
    assert (await ask(sandbox, "POST", path, {"embeds": [{"title": "x"}]})).code == 50013
    assert (await ask(sandbox, "GET", f"{path}/{posted.json['id']}")).code == 50013
    assert (await ask(sandbox, "GET", path)).json == []
    rules = f"/guilds/{channel.guild.id}/auto-moderation/rules"
    rule = channel.guild.create_automod_rule("words", keywords=["bad*"], patterns=["x+"], allowed=["badge"])
    assert (await ask(sandbox, "GET", rules)).json == [rule]
    channel.guild.me.roles[0].permissions &= ~Permission.MANAGE_GUILD
    assert (await ask(sandbox, "GET", rules)).code == 50013


async def test_what_is_gone_is_unknown(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    path = f"/channels/{channel.id}/messages"
    posted = await ask(sandbox, "POST", path, {"content": "x"})
    assert (await ask(sandbox, "DELETE", f"{path}/{posted.json['id']}")).status == 204
    assert (await ask(sandbox, "PATCH", f"{path}/{posted.json['id']}", {"content": "y"})).code == 10008
    channel.guild.delete_channel(channel)
    answer = await ask(sandbox, "POST", path, {"content": "x"})
    assert (answer.status, answer.code) == (404, 10003)
    channel.guild.remove_member(channel.guild.me)
    assert (await ask(sandbox, "GET", f"/guilds/{channel.guild.id}")).code == 10004
    assert sandbox.violations == []


async def test_unknown_routes_and_wrong_tokens_are_breaches(place: Place) -> None:
    sandbox, _ = place
    unknown = await ask(sandbox, "GET", "/nothing/here")
    assert (unknown.status, unknown.code) == (404, 0)
    assert unknown.headers["Content-Type"] == "application/json"
    wrong = await ask(sandbox, "GET", "/users/@me", token="wrong")
    assert (wrong.status, wrong.code) == (401, 0)
    assert len(sandbox.violations) == 2


async def test_somebody_elses_message_can_only_be_deleted_by_a_moderator(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    message = await channel.guild.create_member("alice").say(channel, "mine")
    where = f"/channels/{channel.id}/messages/{message.id}"
    assert (await ask(sandbox, "PATCH", where, {"content": "yours"})).code == 50005
    assert (await ask(sandbox, "DELETE", where)).code == 50013
    channel.allow(Permission.MANAGE_MESSAGES)
    assert (await ask(sandbox, "DELETE", where)).status == 204


async def test_direct_messages_can_be_closed(scene: Scene) -> None:
    user = await scene.bot.fetch_user(scene.alice.id)
    await user.send("open")
    scene.alice.user.dms_open = False
    with pytest.raises(discord.Forbidden) as caught:
        await user.send("closed")
    assert caught.value.code == 50007
    assert [message.text for message in scene.alice.dms] == ["open"]


async def test_who_is_really_pinged(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    alice, bob = channel.guild.create_member("alice"), channel.guild.create_member("bob")
    stranger = sandbox.world.create_user("stranger")
    loud, quiet = channel.guild.create_role("loud", mentionable=True), channel.guild.create_role("quiet")
    text = f"<@{alice.id}> <@{bob.id}> <@{stranger.id}> <@&{loud.id}> <@&{quiet.id}> @everyone"
    cases: list[tuple[Any, set[int], set[int]]] = [
        (None, {alice.id, bob.id}, {loud.id}),
        ({"parse": []}, set(), set()),
        ({"parse": [], "users": [alice.id]}, {alice.id}, set()),
        ({"parse": ["roles"]}, set(), {loud.id}),
        ({"parse": [], "roles": [str(quiet.id)]}, set(), set()),
    ]
    path = f"/channels/{channel.id}/messages"
    for allowed, users, roles in cases:
        body = {"content": text} if allowed is None else {"content": text, "allowed_mentions": allowed}
        assert (await ask(sandbox, "POST", path, body)).status == 200
        pings = channel.messages[-1].pings
        assert (pings.users, pings.roles, pings.everyone) == (users, roles, False), allowed
    channel.allow(Permission.MENTION_EVERYONE)
    sandbox.ratelimits.enabled = False
    v2 = {"flags": 1 << 15, "components": [{"type": 10, "content": text}]}
    first = await ask(sandbox, "POST", path, v2)
    assert channel.messages[-1].pings.everyone
    assert channel.messages[-1].pings.roles == {loud.id, quiet.id}
    # An edit notifies nobody.
    quiet_first = await ask(sandbox, "POST", path, {"content": "x"})
    await ask(sandbox, "PATCH", f"{path}/{quiet_first.json['id']}", {"content": text})
    assert not channel.messages[-1].pings
    # A reply notifies its author, unless it must not.
    mine = await alice.say(channel, "hello")
    for replied, users in ((True, {alice.id}), (False, set())):
        reference = {"message_id": str(mine.id)}
        rules = {"parse": [], "replied_user": replied}
        await ask(sandbox, "POST", path, {"content": "re", "message_reference": reference, "allowed_mentions": rules})
        assert channel.messages[-1].pings.users == users
    missing = {"content": "re", "message_reference": {"message_id": "1"}}
    assert (await ask(sandbox, "POST", path, missing)).faults == {"message_reference"}
    assert first.status == 200


async def test_addresses_are_signed_expire_and_can_be_refreshed(place: Place, clock: Clock) -> None:
    sandbox, channel = place
    path = f"/channels/{channel.id}/messages"
    posted = await ask(sandbox, "POST", path, {"content": "x"}, files=[("a.png", png())])
    url = posted.json["attachments"][0]["url"]
    assert url.startswith(f"http://{sandbox.cdn_host}/attachments/{channel.id}/")

    async def fetch(address: str) -> tuple[int, bytes]:
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            return response.status, await response.read()

    assert await fetch(url) == (200, png())
    assert (await fetch(url.replace("hm=", "hm=0")))[0] == 404
    assert (await fetch(url.partition("?")[0]))[0] == 404
    clock.ahead = 86_401
    assert (await fetch(url))[0] == 404
    fresh = (await ask(sandbox, "GET", f"{path}/{posted.json['id']}")).json["attachments"][0]["url"]
    assert (await fetch(fresh))[0] == 200
    refreshed = await ask(sandbox, "POST", "/attachments/refresh-urls", {"attachment_urls": [url, "https://a.b/c"]})
    first, second = refreshed.json["refreshed_urls"]
    assert (await fetch(first["refreshed"]))[0] == 200
    assert second["refreshed"] == "https://a.b/c"
    await ask(sandbox, "DELETE", f"{path}/{posted.json['id']}")
    assert (await fetch(fresh))[0] == 404


async def test_the_bot_learns_of_its_guild(scene: Scene) -> None:
    guild = scene.bot.get_guild(scene.guild.id)
    assert guild is not None
    assert [channel.name for channel in guild.text_channels] == ["general"]
    assert guild.me.guild_permissions.attach_files
    other = scene.sandbox.create_guild("Later", boost_tier=3)
    joined = await scene.bot.wait_for("guild_join", timeout=3)
    assert (joined.name, joined.filesize_limit) == ("Later", 100 * 1024 * 1024)
    new = other.create_channel("new")
    await scene.bot.wait_for("guild_channel_create", timeout=3)
    other.delete_channel(new)
    await scene.bot.wait_for("guild_channel_delete", timeout=3)
    channel = await scene.bot.fetch_channel(scene.channel.id)
    assert isinstance(channel, discord.TextChannel)
    member = await guild.fetch_member(scene.alice.id)
    assert member.name == "alice"
    rule = scene.guild.create_automod_rule("words", keywords=["x"])
    [fetched] = await guild.fetch_automod_rules()
    assert (fetched.id, fetched.trigger.keyword_filter) == (int(rule["id"]), ["x"])
    assert (await channel.send("hi", file=upload())).attachments[0].width == 3
    assert scene.sandbox.violations == []
