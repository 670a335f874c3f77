"""Discord's permission bits, and how roles and channel overwrites add up to what a member may do in a channel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.discord.world import Channel, Member


class Permission(IntFlag):
    """Discord: Permissions, bitwise flags (2026-08); those that an application meets."""

    CREATE_INSTANT_INVITE = 1 << 0
    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_AUDIT_LOG = 1 << 7
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    SEND_TTS_MESSAGES = 1 << 12
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    CHANGE_NICKNAME = 1 << 26
    MANAGE_NICKNAMES = 1 << 27
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    SEND_MESSAGES_IN_THREADS = 1 << 38
    MODERATE_MEMBERS = 1 << 40
    USE_EXTERNAL_APPS = 1 << 50


NONE = Permission(0)
ALL = Permission(sum(1 << bit for bit in range(51)))

# What a new server grants @everyone, as far as this stand-in knows the bits.
EVERYONE = (
    Permission.CREATE_INSTANT_INVITE
    | Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.CHANGE_NICKNAME
    | Permission.USE_APPLICATION_COMMANDS
)

# What an invite link of a bot with least permissions asks for.
BOT = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MANAGE_GUILD
)

# Direct messages have no roles: Discord gives a fixed set.
DIRECT = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MENTION_EVERYONE
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.USE_APPLICATION_COMMANDS
)


@dataclass
class Overwrite:
    """What one channel allows and denies a role (type 0) or a member (type 1)."""

    target_id: int
    kind: int
    allow: Permission = NONE
    deny: Permission = NONE

    def to_json(self) -> dict[str, Any]:
        return {
            "id": str(self.target_id),
            "type": self.kind,
            "allow": str(int(self.allow)),
            "deny": str(int(self.deny)),
        }


def in_guild(member: Member) -> Permission:
    """The permissions of a member's roles, before any channel is looked at."""
    guild = member.guild
    if guild.owner_id == member.user.id:
        return ALL
    total = guild.everyone.permissions
    for role in member.roles:
        total |= role.permissions
    if member.own_permissions is not None:
        total = guild.everyone.permissions | member.own_permissions
    return ALL if total & Permission.ADMINISTRATOR else total


def in_channel(member: Member, channel: Channel) -> Permission:
    """The permissions of a member in one channel (Discord: Permission overwrites)."""
    total = in_guild(member)
    if total == ALL:
        return ALL
    everyone = channel.overwrites.get(member.guild.id)
    if everyone is not None:
        total = (total & ~everyone.deny) | everyone.allow
    allow = deny = Permission(0)
    for role in member.roles:
        overwrite = channel.overwrites.get(role.id)
        if overwrite is not None:
            allow, deny = allow | overwrite.allow, deny | overwrite.deny
    total = (total & ~deny) | allow
    own = channel.overwrites.get(member.user.id)
    if own is not None:
        total = (total & ~own.deny) | own.allow
    # Without View Channel every other permission in the channel is gone.
    return total if total & Permission.VIEW_CHANNEL else Permission(0)
