"""Who is mentioned in a text, and whom that really notifies (Discord: Allowed mentions)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.discord.errors import Form
from sandbox.discord.messages import EPHEMERAL, Message, Pings
from sandbox.discord.permissions import Permission, in_channel

if TYPE_CHECKING:
    from sandbox.discord.world import Channel, Guild

_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")
KINDS = frozenset({"users", "roles", "everyone"})


def check(form: Form, allowed: Any) -> None:
    """Notes what Discord refuses in `allowed_mentions`."""
    if allowed is None:
        return
    if not isinstance(allowed, dict):
        form.add("allowed_mentions", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return
    parse = allowed.get("parse") or []
    for index, kind in enumerate(parse):
        if kind not in KINDS:
            form.add(f"allowed_mentions.parse.{index}", "BASE_TYPE_CHOICES", f"Value must be one of {sorted(KINDS)}.")
    for key in ("users", "roles"):
        ids = allowed.get(key) or []
        if len(ids) > 100:
            form.add(f"allowed_mentions.{key}", "BASE_TYPE_MAX_LENGTH", "Must be 100 or fewer in length.")
        if ids and key in parse:
            text = f'parse:["{key}"] and {key}: [ids...] are mutually exclusive.'
            form.add("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", text)


def pings(message: Message, allowed: dict[str, Any] | None) -> Pings:
    """Whom a new message notifies. An ephemeral message and an edit notify nobody; the caller knows of edits."""
    if message.flags & EPHEMERAL:
        return Pings()
    text = message.text
    rules = {"parse": sorted(KINDS), "replied_user": True} if allowed is None else allowed
    parse = rules.get("parse") or []
    mentioned = {int(found) for found in _USER.findall(text)}
    if "users" not in parse:
        mentioned &= {int(user) for user in rules.get("users") or []}
    guild = message.channel.guild
    result = Pings(users={user for user in mentioned if _present(message.channel, user)})
    _add_reply(result, message, rules)
    if guild is not None:
        _add_roles(result, guild, message, rules, parse)
        result.everyone = "everyone" in parse and bool(_EVERYONE.search(text)) and _may_ping_all(guild, message)
    return result


def _present(channel: Channel, user_id: int) -> bool:
    if channel.guild is not None:
        return user_id in channel.guild.members
    return channel.recipient is not None and channel.recipient.id == user_id


def _add_reply(result: Pings, message: Message, rules: dict[str, Any]) -> None:
    if message.reference is None or not rules.get("replied_user"):
        return
    original = message.channel.find(int(message.reference["message_id"]))
    if original is not None and original.author.id != message.author.id:
        result.users.add(original.author.id)


def _add_roles(result: Pings, guild: Guild, message: Message, rules: dict[str, Any], parse: list[str]) -> None:
    roles = {int(found) for found in _ROLE.findall(message.text)}
    if "roles" not in parse:
        roles &= {int(role) for role in rules.get("roles") or []}
    everyone = _may_ping_all(guild, message)
    result.roles = {r for r in roles if r in guild.roles and (everyone or guild.roles[r].mentionable)}


def _may_ping_all(guild: Guild, message: Message) -> bool:
    author = guild.members.get(message.author.id)
    return author is not None and bool(in_channel(author, message.channel) & Permission.MENTION_EVERYONE)


def found_in(message: Message) -> tuple[list[dict[str, Any]], list[str], bool]:
    """The `mentions`, `mention_roles` and `mention_everyone` of a message object."""
    text = message.text
    world = message.sandbox.world
    users = [world.users[u].to_json() for u in dict.fromkeys(map(int, _USER.findall(text))) if u in world.users]
    guild = message.channel.guild
    roles = [r for r in dict.fromkeys(_ROLE.findall(text)) if guild is not None and int(r) in guild.roles]
    return users, roles, message.pings.everyone
