"""Reading guilds: channels, roles, members, AutoMod rules."""

from __future__ import annotations

from sandbox.discord.errors import missing_permissions, unknown_member
from sandbox.discord.permissions import Permission, in_guild
from sandbox.discord.rest.router import Call, Reply, Route


def _guild(call: Call) -> Reply:
    body = call.guild.to_json()
    if call.request.query.get("with_counts") in {"1", "true"}:
        body |= {"approximate_member_count": len(call.guild.members), "approximate_presence_count": 1}
    return Reply(body)


def _channels(call: Call) -> Reply:
    return Reply([channel.to_json() for channel in call.guild.channels.values()])


def _roles(call: Call) -> Reply:
    return Reply([role.to_json() for role in call.guild.roles.values()])


def _member(call: Call) -> Reply:
    member = call.guild.members.get(call.number("user_id"))
    if member is None:
        raise unknown_member()
    return Reply(member.to_json())


def _automod(call: Call) -> Reply:
    if not in_guild(call.guild.me) & Permission.MANAGE_GUILD:
        raise missing_permissions()
    return Reply(call.guild.automod_rules)


ROUTES = (
    Route("GET", "/guilds/{guild_id}", _guild),
    Route("GET", "/guilds/{guild_id}/channels", _channels),
    Route("GET", "/guilds/{guild_id}/roles", _roles),
    Route("GET", "/guilds/{guild_id}/members/{user_id}", _member),
    Route("GET", "/guilds/{guild_id}/auto-moderation/rules", _automod),
)
