"""Channels and their messages, with the bot token: create, read, edit, delete, and the permissions for it."""

from __future__ import annotations

from typing import Any

from sandbox.discord.errors import ApiError, Form, missing_access, missing_permissions, unknown_message
from sandbox.discord.messages import Message
from sandbox.discord.permissions import Permission
from sandbox.discord.ratelimits import Limit
from sandbox.discord.rest import posting
from sandbox.discord.rest.router import NOTHING, Call, Reply, Route
from sandbox.discord.world import Channel

NONCE_SECONDS = 300.0  # Discord says "the past few minutes"


def _need(call: Call, channel: Channel, *permissions: Permission) -> None:
    """Raises 50001 if the bot cannot see the channel, 50013 if it lacks another permission."""
    held = channel.permissions_of(call.sandbox.bot_user)
    if not held & Permission.VIEW_CHANNEL:
        raise missing_access()
    if any(not held & permission for permission in permissions):
        raise missing_permissions()


def _message(call: Call, channel: Channel) -> Message:
    """The message of the path; an ephemeral one is unknown here."""
    message = channel.find(call.number("message_id"))
    if message is None or message.ephemeral:
        raise unknown_message()
    return message


def _get_channel(call: Call) -> Reply:
    channel = call.channel
    _need(call, channel)
    return Reply(channel.to_json())


def _typing(call: Call) -> Reply:
    _need(call, call.channel, Permission.SEND_MESSAGES)
    return NOTHING


def _create(call: Call) -> Reply:
    channel, data = call.channel, call.json
    _need(call, channel, Permission.SEND_MESSAGES)
    if call.body.uploads:
        _need(call, channel, Permission.ATTACH_FILES)
    if isinstance(data, dict) and data.get("embeds"):
        _need(call, channel, Permission.EMBED_LINKS)
    _check_direct(call, channel)
    posting.check_create(call, channel, "create")
    call.check_schema("MessageCreateRequest")
    first = _same_nonce(call, channel, data)
    if first is not None:
        return Reply(first.to_json())
    reference = _reference(call, channel, data.get("message_reference"))
    message = posting.create(call, channel, data | {"message_reference": reference})
    if message.nonce is not None:
        call.sandbox.nonces[channel.id, str(message.nonce)] = message
    return Reply(message.to_json())


def _check_direct(call: Call, channel: Channel) -> None:
    """Discord: 50007 if the person does not take direct messages of server members, or shares no server."""
    person = channel.recipient
    if channel.guild is not None or person is None:
        return
    shared = any(person.id in guild.members for guild in call.sandbox.world.guilds.values())
    if not person.dms_open or not shared:
        raise ApiError(403, 50007, "Cannot send messages to this user")


def _same_nonce(call: Call, channel: Channel, data: dict[str, Any]) -> Message | None:
    """Discord: with `enforce_nonce` a second create of the same author, channel and nonce returns the first message."""
    nonce = data.get("nonce")
    if nonce is None or not data.get("enforce_nonce"):
        return None
    key = (channel.id, str(nonce))
    known = call.sandbox.nonces.get(key)
    if known is not None and call.sandbox.clock() - known.at < NONCE_SECONDS:
        call.sandbox.nonce_hits += 1
        return known
    return None


def _reference(call: Call, channel: Channel, reference: Any) -> dict[str, Any] | None:
    if not reference:
        return None
    _need(call, channel, Permission.READ_MESSAGE_HISTORY)
    found = channel.find(int(reference["message_id"]))
    if found is not None and not found.ephemeral:
        return reference
    if reference.get("fail_if_not_exists", True):
        form = Form()
        form.add("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message")
        try:
            form.check()
        except ApiError as error:
            error.breach = False
            raise
    return None


def _list(call: Call) -> Reply:
    channel = call.channel
    _need(call, channel)
    if not channel.permissions_of(call.sandbox.bot_user) & Permission.READ_MESSAGE_HISTORY:
        return Reply([])
    query = call.request.query
    found = channel.messages[::-1]
    if "before" in query:
        found = [m for m in found if m.id < int(query["before"])]
    if "after" in query:
        # Those that follow most closely: Discord's clients page on from there.
        found = [m for m in found if m.id > int(query["after"])][-int(query.get("limit", 50)) :]
    return Reply([message.to_json() for message in found[: int(query.get("limit", 50))]])


def _get(call: Call) -> Reply:
    channel = call.channel
    _need(call, channel, Permission.READ_MESSAGE_HISTORY)
    return Reply(_message(call, channel).to_json())


def _edit(call: Call) -> Reply:
    channel = call.channel
    _need(call, channel)
    message = _message(call, channel)
    if message.author is not call.sandbox.bot_user:
        raise ApiError(403, 50005, "Cannot edit a message authored by another user", breach=True)
    if call.body.uploads:
        _need(call, channel, Permission.ATTACH_FILES)
    call.check_schema("MessageEditRequestPartial")
    return Reply(posting.edit(call, message).to_json())


def _delete(call: Call) -> Reply:
    channel = call.channel
    _need(call, channel)
    message = _message(call, channel)
    if message.author is not call.sandbox.bot_user:
        _need(call, channel, Permission.MANAGE_MESSAGES)
    posting.delete(call, message)
    return NOTHING


_MESSAGES = "/channels/{channel_id}/messages"
ROUTES = (
    Route("GET", "/channels/{channel_id}", _get_channel),
    Route("POST", "/channels/{channel_id}/typing", _typing, Limit(5, 5.0)),
    Route("GET", _MESSAGES, _list, Limit(5, 1.0)),
    Route("POST", _MESSAGES, _create, Limit(5, 5.0)),
    Route("GET", _MESSAGES + "/{message_id}", _get, Limit(30, 5.0)),
    Route("PATCH", _MESSAGES + "/{message_id}", _edit, Limit(5, 5.0)),
    Route("DELETE", _MESSAGES + "/{message_id}", _delete, Limit(5, 1.0)),
)
