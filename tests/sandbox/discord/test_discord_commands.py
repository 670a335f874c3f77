"""Which command definitions Discord takes."""

from typing import Any

import pytest
from discord_bot import ask

from sandbox.discord import Channel, DiscordSandbox, File, SandboxError

Place = tuple[DiscordSandbox, Channel]


def command(**more: Any) -> dict[str, Any]:
    return {"name": "make", "description": "Makes", "type": 1, "options": []} | more


def option(**more: Any) -> dict[str, Any]:
    return {"type": 3, "name": "a", "description": "A"} | more


def choices(count: int) -> list[dict[str, Any]]:
    return [{"name": str(n), "value": str(n)} for n in range(count)]


LONG = [option(name=f"o{n}", choices=[{"name": f"{i:100}", "value": f"{i:100}"} for i in range(5)]) for n in range(9)]
BAD: list[tuple[list[dict[str, Any]], str]] = [
    ([command(name="Make")], "0.name"),
    ([command(name="make it")], "0.name"),
    ([command(name="x" * 33)], "0.name"),
    ([command(description="")], "0.description"),
    ([command(description="x" * 101)], "0.description"),
    ([command(type=9)], "0.type"),
    ([command(), command()], "1"),
    ([command(options=[option(name=f"o{n}") for n in range(26)])], "0.options"),
    ([command(options=[option(), option()])], "0.options.1"),
    ([command(options=[option(), option(name="b", required=True)])], "0.options.1"),
    ([command(options=[option(choices=choices(26))])], "0.options.0.choices"),
    ([command(options=[option(choices=[{"name": "x", "value": 3}])])], "0.options.0.choices.0.value"),
    ([command(options=[option(choices=[{"name": "x", "value": "x" * 101}])])], "0.options.0.choices.0.value"),
    ([command(options=[option(choices=choices(1), autocomplete=True)])], "0.options.0"),
    ([command(options=[option(type=11, autocomplete=True)])], "0.options.0.autocomplete"),
    ([command(options=[option(min_value=1)])], "0.options.0.min_value"),
    ([command(options=[option(max_length=6001)])], "0.options.0.max_length"),
    ([command(options=[option(type=1), option(name="b")])], "0.options"),
    ([command(options=[option(type=2, options=[option(type=3)])])], "0.options.0.options"),
    ([command(options=LONG)], "0"),
    ([{"name": "Look", "type": 3, "description": "no"}], "0.description"),
]


@pytest.mark.parametrize(("body", "fault"), BAD, ids=[f"{n}-{fault}" for n, (_, fault) in enumerate(BAD)])
async def test_a_bad_definition_is_refused_and_named(place: Place, body: list[dict[str, Any]], fault: str) -> None:
    sandbox, _ = place
    sandbox.openapi = None
    answer = await ask(sandbox, "PUT", f"/applications/{sandbox.application_id}/commands", body)
    assert (answer.status, answer.code, answer.faults) == (400, 50035, {fault})
    assert not sandbox.commands.any


async def test_only_five_message_commands(place: Place) -> None:
    sandbox, _ = place
    body = [{"name": f"Menu {n}", "type": 3} for n in range(6)]
    answer = await ask(sandbox, "PUT", f"/applications/{sandbox.application_id}/commands", body)
    assert (answer.status, answer.code) == (400, 30032)
    answer = await ask(sandbox, "PUT", f"/applications/{sandbox.application_id}/commands", body[:5])
    assert len({entry["id"] for entry in answer.json}) == 5


async def test_a_command_keeps_its_id_and_a_guild_command_goes_first(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    everywhere = f"/applications/{sandbox.application_id}/commands"
    here = f"/applications/{sandbox.application_id}/guilds/{channel.guild.id}/commands"
    first = await ask(sandbox, "PUT", everywhere, [command()])
    second = await ask(sandbox, "PUT", everywhere, [command(description="other"), command(name="b")])
    assert first.json[0]["id"] == second.json[0]["id"]
    assert (await ask(sandbox, "GET", everywhere)).json == second.json
    own = await ask(sandbox, "PUT", here, [command(options=[option(required=True)])])
    alice = channel.guild.create_member("alice")
    with pytest.raises(SandboxError, match="needs"):
        await alice.slash(channel, "make")
    sent = await alice.slash(channel, "make", {"a": "x"})
    assert (sent.data["id"], sent.data["guild_id"]) == (own.json[0]["id"], str(channel.guild.id))
    assert sent.delivered_to == 0  # no bot is connected


async def test_who_may_use_a_command(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    everywhere = f"/applications/{sandbox.application_id}/commands"
    admin = command(name="admin", default_member_permissions=32, contexts=[0])
    await ask(sandbox, "PUT", everywhere, [admin, command(nsfw=True)])
    alice, boss = channel.guild.create_member("alice"), channel.guild.create_member("boss", permissions=32)
    with pytest.raises(SandboxError, match="may not use"):
        await alice.slash(channel, "admin")
    await boss.slash(channel, "admin")
    await alice.slash(channel, "admin", force=True)
    with pytest.raises(SandboxError, match="cannot be used here"):
        await boss.slash(boss.dm_channel, "admin")
    with pytest.raises(SandboxError, match="age-restricted"):
        await boss.slash(channel, "make")
    with pytest.raises(SandboxError, match="no command"):
        await boss.slash(channel, "nothing")


async def test_a_file_option_may_name_its_extensions(place: Place) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    body = [command(options=[option(type=11, file_types=[".png", "jpg"])])]
    await ask(sandbox, "PUT", f"/applications/{sandbox.application_id}/commands", body)
    alice = channel.guild.create_member("alice")
    with pytest.raises(SandboxError, match="none of"):
        await alice.slash(channel, "make", {"a": File("a.txt", b"x")})
    sent = await alice.slash(channel, "make", {"a": File("a.PNG", b"x")})
    [attachment] = sent.data["resolved"]["attachments"].values()
    assert (attachment["ephemeral"], "/ephemeral-attachments/" in attachment["url"]) == (True, True)
