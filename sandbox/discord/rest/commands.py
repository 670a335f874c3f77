"""Registering and listing the application's commands."""

from __future__ import annotations

from sandbox.discord import commands
from sandbox.discord.errors import ApiError, Form
from sandbox.discord.openapi import COMMANDS
from sandbox.discord.ratelimits import Limit
from sandbox.discord.rest.router import Call, Reply, Route

_GLOBAL = "/applications/{application_id}/commands"
_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"


def _place(call: Call) -> int | None:
    if call.number("application_id") != call.sandbox.application_id:
        raise ApiError(403, 20012, "You are not authorized to perform this action on this application", breach=True)
    return call.guild.id if "guild_id" in call.params else None


def _put(call: Call) -> Reply:
    place = _place(call)
    form = Form()
    commands.check_all(form, call.json)
    call.finish(form)
    call.check_schema(COMMANDS)
    sandbox = call.sandbox
    stored = sandbox.commands.store(call.json, place, sandbox.ids.next, sandbox.application_id)
    sandbox.touch()
    return Reply(stored)


def _list(call: Call) -> Reply:
    place = _place(call)
    registry = call.sandbox.commands
    return Reply(registry.everywhere if place is None else registry.in_guild.get(place, []))


def _get(call: Call) -> Reply:
    wanted = call.params["command_id"]
    for command in _list(call).json:
        if command["id"] == wanted:
            return Reply(command)
    raise ApiError(404, 10063, "Unknown application command")


ROUTES = (
    Route("PUT", _GLOBAL, _put, Limit(5, 20.0)),
    Route("GET", _GLOBAL, _list),
    Route("GET", _GLOBAL + "/{command_id}", _get),
    Route("PUT", _GUILD, _put, Limit(5, 20.0)),
    Route("GET", _GUILD, _list),
    Route("GET", _GUILD + "/{command_id}", _get),
)
