"""Making and changing messages: the part that channels, interactions and webhooks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.discord import bodies, components, mentions
from sandbox.discord.cdn import Attachment
from sandbox.discord.errors import ApiError, Form
from sandbox.discord.messages import COMPONENTS_V2, EPHEMERAL, LOADING, SUPPRESS_EMBEDS, Message
from sandbox.discord.rest.router import Call

if TYPE_CHECKING:
    from sandbox.discord.interactions import Interaction
    from sandbox.discord.world import Channel

_CREATE_FLAGS = SUPPRESS_EMBEDS | COMPONENTS_V2 | (1 << 12)


def check_create(call: Call, channel: Channel, kind: str, body: bodies.Body | None = None) -> None:
    """Raises what Discord refuses in a new message: size, fields, or nothing to send."""
    body = call.body if body is None else body
    bodies.check_size(body, channel.upload_limit)
    form = Form()
    bodies.check(body, kind, form)
    call.finish(form)
    parts = ("content", "embeds", "components", "sticker_ids", "poll")
    content = body.json.get("content")
    empty = not body.uploads and not any(body.json.get(part) for part in parts)
    if empty or (isinstance(content, str) and content and not content.strip() and not body.uploads):
        raise ApiError(400, 50006, "Cannot send an empty message")


def create(
    call: Call,
    channel: Channel,
    data: dict[str, Any],
    *,
    interaction: Interaction | None = None,
    ephemeral: bool = False,
) -> Message:
    """A new message of the bot from a checked body, shown to the channel or, if ephemeral, to who acted."""
    sandbox = call.sandbox
    message = _blank(call, channel, interaction, ephemeral=ephemeral)
    message.flags |= (data.get("flags") or 0) & _CREATE_FLAGS
    message.content = data.get("content") or ""
    message.embeds = data.get("embeds") or []
    message.nonce = data.get("nonce")
    message.tts = bool(data.get("tts"))
    _apply(call, message, _parts(call, message, bodies.Body(data, call.body.uploads), message.flags))
    return publish(message, data.get("allowed_mentions"), reference=data.get("message_reference"), sandbox=sandbox)


def publish(message: Message, allowed: Any, *, reference: Any, sandbox: Any) -> Message:
    """Puts a finished message where people see it."""
    if reference:
        message.reference = {
            "type": 0,
            "message_id": str(reference["message_id"]),
            "channel_id": str(message.channel.id),
        }
    message.pings = mentions.pings(message, allowed)
    message.channel.store[message.id] = message
    if not message.ephemeral:
        sandbox.posts[message.channel.id] += 1
        if message.pings:
            sandbox.pings.append(message)
        sandbox.gateway.to_channel(message.channel, "MESSAGE_CREATE", message.to_json())
    sandbox.touch()
    return message


def loading(call: Call, interaction: Interaction, *, ephemeral: bool) -> Message:
    """The "is thinking…" message of a deferral."""
    message = _blank(call, interaction.channel, interaction, ephemeral=ephemeral)
    message.flags |= LOADING
    message.channel.store[message.id] = message
    if not message.ephemeral:
        call.sandbox.gateway.to_channel(message.channel, "MESSAGE_CREATE", message.to_json())
    return message


def _blank(call: Call, channel: Channel, interaction: Interaction | None, *, ephemeral: bool) -> Message:
    sandbox = call.sandbox
    message = Message(sandbox, sandbox.ids.next(), channel, sandbox.bot_user, sandbox.clock())
    if interaction is not None:
        message.webhook_id = sandbox.application_id
        message.interaction = interaction.metadata()
        if ephemeral:
            message.flags |= EPHEMERAL
            message.seen_by = interaction.user
    return message


def edit(call: Call, message: Message, data: dict[str, Any] | None = None, *, kind: str = "edit") -> Message:
    """Checks and applies a change. Absent fields stay; a deferral's message stops to load. Nobody is pinged."""
    sandbox = call.sandbox
    body = bodies.Body(call.json if data is None else data, call.body.uploads)
    bodies.check_size(body, message.channel.upload_limit)
    form = Form()
    bodies.check(body, kind, form, message)
    call.finish(form)
    data = dict(body.json)
    flags = (message.flags & ~(SUPPRESS_EMBEDS | LOADING)) | (
        (data.get("flags") or 0) & (COMPONENTS_V2 | SUPPRESS_EMBEDS)
    )
    _check_whole(message, data, flags)
    parts = _parts(call, message, body, flags)
    content = (data["content"] or "") if "content" in data else message.content
    embeds = (data["embeds"] or []) if "embeds" in data else message.embeds
    if not (content or embeds or parts.files or parts.components):
        raise ApiError(400, 50006, "Cannot send an empty message")
    _apply(call, message, parts)
    if message.loading and not message.ephemeral:
        sandbox.posts[message.channel.id] += 1
    message.flags, message.content, message.embeds = flags, content, embeds
    message.edited_at = sandbox.clock()
    message.edits += 1
    if not message.ephemeral:
        sandbox.gateway.to_channel(message.channel, "MESSAGE_UPDATE", message.to_json())
    sandbox.touch()
    return message


def _check_whole(message: Message, data: dict[str, Any], flags: int) -> None:
    """Turning a plain message into components V2 needs its old content and embeds cleared."""
    if not flags & COMPONENTS_V2 or message.flags & COMPONENTS_V2:
        return
    form = Form()
    for key, old in (("content", message.content), ("embeds", message.embeds)):
        if old and key not in data:
            form.add(key, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", f"Clear {key} to use components V2.")
    form.check()


@dataclass
class _Parts:
    """What a body makes of a message's files and components, before it takes effect."""

    files: list[Attachment]
    components: list[dict[str, Any]]


def _parts(call: Call, message: Message, body: bodies.Body, flags: int) -> _Parts:
    sandbox, channel = call.sandbox, message.channel

    def make(name: str, data: bytes, description: str | None) -> Attachment:
        spoiler = name.startswith("SPOILER_")
        return Attachment(sandbox.ids.next(), channel.id, name, data, description, message.ephemeral, spoiler)

    files = bodies.attachments(body, message, make)
    kept = message.components
    if "components" in body.json:
        kept = components.prepare(body.json["components"] or [], _references(sandbox, files))
    if flags & COMPONENTS_V2:
        silent = message.attachments if body.json.get("attachments") is None else []
        files = _only_shown(files, kept, silent)
    return _Parts(files, kept)


def _apply(call: Call, message: Message, parts: _Parts) -> None:
    cdn = call.sandbox.cdn
    for attachment in parts.files:
        cdn.add(attachment)
    for attachment in message.attachments:
        if attachment not in parts.files:
            cdn.delete(attachment)
    message.attachments, message.components = parts.files, parts.components


def _references(sandbox: Any, files: list[Attachment]) -> dict[str, int]:
    """What a media item may say of these files: `attachment://name`, or the address they already have."""
    found: dict[str, int] = {}
    for attachment in files:
        found[f"attachment://{attachment.filename}"] = attachment.id
        found[f"{sandbox.cdn.base}{attachment.path}"] = attachment.id
    return found


def _only_shown(files: list[Attachment], kept: list[dict[str, Any]], silent: list[Attachment]) -> list[Attachment]:
    """With components V2 a file shows only through a component: a new one that none shows is refused.

    Old files that the edit does not list and no component shows any more are let go.
    """
    shown = {
        item[key].get("attachment") for item in components.media_items(kept) for key in ("media", "file") if key in item
    }
    form = Form()
    for index, attachment in enumerate(files):
        if attachment.id not in shown and attachment not in silent:
            text = f"The attachment {attachment.filename} is not shown by any component."
            form.add(f"attachments.{index}", "COMPONENTS_V2_ATTACHMENT_NOT_SHOWN", text)
    form.check()
    return [attachment for attachment in files if attachment.id in shown]


def delete(call: Call, message: Message) -> None:
    """Takes a message away, with its files."""
    sandbox = call.sandbox
    message.deleted = True
    message.channel.store.pop(message.id, None)
    for attachment in message.attachments:
        sandbox.cdn.delete(attachment)
    if not message.ephemeral:
        sandbox.deleted.append(message)
        event = {"id": str(message.id), "channel_id": str(message.channel.id)}
        if message.channel.guild is not None:
            event["guild_id"] = str(message.channel.guild.id)
        sandbox.gateway.to_channel(message.channel, "MESSAGE_DELETE", event)
    sandbox.touch()
