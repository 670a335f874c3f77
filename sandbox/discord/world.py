"""The servers, channels, roles and people of the stand-in, and the JSON that the API and the gateway send of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.discord.actors import Actor
from sandbox.discord.errors import SandboxError
from sandbox.discord.messages import Message, iso
from sandbox.discord.permissions import BOT, DIRECT, EVERYONE, NONE, Overwrite, Permission, in_channel, in_guild
from sandbox.discord.snowflake import Snowflakes

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox

MIB = 1024 * 1024
UPLOAD_LIMITS = {0: 10 * MIB, 1: 10 * MIB, 2: 50 * MIB, 3: 100 * MIB}  # bytes a file, by boost tier


@dataclass(eq=False)
class User:
    """An account. `dms_open` is the person's privacy setting for messages from server members."""

    id: int
    name: str
    bot: bool = False
    dms_open: bool = True
    locale: str = "en-US"

    def to_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0",
            "global_name": None if self.bot else self.name.title(),
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }


@dataclass(eq=False)
class Role:
    id: int
    name: str
    permissions: Permission = NONE
    position: int = 1
    mentionable: bool = False
    managed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "name": self.name,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "icon": None,
            "unicode_emoji": None,
            "position": self.position,
            "permissions": str(int(self.permissions)),
            "managed": self.managed,
            "mentionable": self.mentionable,
            "flags": 0,
        }


@dataclass(eq=False)
class Channel:
    """A text channel of a guild, or (guild None) the direct messages of `recipient` and the bot."""

    sandbox: DiscordSandbox
    id: int
    name: str
    guild: Guild | None = None
    recipient: User | None = None
    nsfw: bool = False
    deleted: bool = False
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    store: dict[int, Message] = field(default_factory=dict)

    @property
    def messages(self) -> list[Message]:
        """The public messages, oldest first."""
        return [message for message in self.store.values() if not message.ephemeral]

    def find(self, message_id: int) -> Message | None:
        return self.store.get(message_id)

    @property
    def upload_limit(self) -> int:
        """Bytes a file may have here."""
        return UPLOAD_LIMITS[self.guild.boost_tier] if self.guild is not None else UPLOAD_LIMITS[0]

    def permissions_of(self, user: User) -> Permission:
        if self.guild is None:
            return DIRECT
        member = self.guild.members.get(user.id)
        return Permission(0) if member is None else in_channel(member, self)

    def deny(self, *permissions: Permission, who: Member | Role | None = None) -> None:
        """Denies the bot (or `who`) these permissions in this channel."""
        self._overwrite(permissions, who, deny=True)

    def allow(self, *permissions: Permission, who: Member | Role | None = None) -> None:
        """Allows the bot (or `who`) these permissions in this channel."""
        self._overwrite(permissions, who, deny=False)

    def _overwrite(self, permissions: Iterable[Permission], who: Member | Role | None, *, deny: bool) -> None:
        if self.guild is None:
            raise SandboxError("direct messages have no permission overwrites")
        target = self.guild.me if who is None else who
        is_role = isinstance(target, Role)
        target_id = target.id if is_role else target.user.id
        overwrite = self.overwrites.setdefault(target_id, Overwrite(target_id, 0 if is_role else 1))
        for permission in permissions:
            overwrite.deny = overwrite.deny | permission if deny else overwrite.deny & ~permission
            overwrite.allow = overwrite.allow & ~permission if deny else overwrite.allow | permission
        self.sandbox.gateway.to_guild(self.guild, "CHANNEL_UPDATE", self.to_json())
        self.sandbox.touch()

    def to_json(self) -> dict[str, Any]:
        last = next(reversed(self.store), None)
        body: dict[str, Any] = {"id": str(self.id), "last_message_id": None if last is None else str(last), "flags": 0}
        if self.guild is None:
            return body | {"type": 1, "recipients": [self.recipient.to_json()] if self.recipient else []}
        return body | {
            "type": 0,
            "guild_id": str(self.guild.id),
            "name": self.name,
            "topic": None,
            "position": list(self.guild.channels).index(self.id) if self.id in self.guild.channels else 0,
            "permission_overwrites": [o.to_json() for o in self.overwrites.values()],
            "nsfw": self.nsfw,
            "parent_id": None,
            "rate_limit_per_user": 0,
        }

    def partial_json(self, user: User) -> dict[str, Any]:
        """The channel as an interaction carries it, with the permissions of who acts."""
        body = self.to_json()
        body.pop("permission_overwrites", None)
        return body | {"permissions": str(int(self.permissions_of(user)))}


class Member(Actor):
    """A person in a guild, who can act: the methods are in `actors.py`."""

    def __init__(self, guild: Guild, user: User, roles: list[Role], joined_at: float) -> None:
        super().__init__(guild.sandbox, user, guild)
        self.guild: Guild = guild
        self.roles = roles
        self.joined_at = joined_at
        self.own_permissions: Permission | None = None

    @property
    def permissions(self) -> Permission:
        return in_guild(self)

    def to_json(self) -> dict[str, Any]:
        return {"user": self.user.to_json()} | self.partial_json()

    def partial_json(self) -> dict[str, Any]:
        return {
            "nick": None,
            "avatar": None,
            "roles": [str(role.id) for role in self.roles],
            "joined_at": iso(self.joined_at),
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "pending": False,
            "communication_disabled_until": None,
            "flags": 0,
        }


class Guild:
    """A server. Everything in it is made through its methods, so that the gateway tells the bot."""

    def __init__(self, sandbox: DiscordSandbox, guild_id: int, name: str, boost_tier: int) -> None:
        self.sandbox = sandbox
        self.id = guild_id
        self.name = name
        self.boost_tier = boost_tier
        self.locale = "en-US"
        self.owner_id = 0
        self.everyone = Role(guild_id, "@everyone", EVERYONE, position=0)
        self.roles: dict[int, Role] = {guild_id: self.everyone}
        self.channels: dict[int, Channel] = {}
        self.members: dict[int, Member] = {}
        self.automod_rules: list[dict[str, Any]] = []

    @property
    def me(self) -> Member:
        """The bot's own member."""
        return self.members[self.sandbox.bot_user.id]

    def create_channel(self, name: str, *, nsfw: bool = False) -> Channel:
        channel = Channel(self.sandbox, self.sandbox.ids.next(), name, self, nsfw=nsfw)
        self.channels[channel.id] = self.sandbox.world.channels[channel.id] = channel
        self._tell("CHANNEL_CREATE", channel.to_json())
        return channel

    def delete_channel(self, channel: Channel) -> None:
        del self.channels[channel.id], self.sandbox.world.channels[channel.id]
        channel.deleted = True
        self._tell("CHANNEL_DELETE", channel.to_json())

    def create_role(
        self, name: str, permissions: Permission = NONE, *, mentionable: bool = False, managed: bool = False
    ) -> Role:
        role = Role(self.sandbox.ids.next(), name, permissions, len(self.roles), mentionable, managed)
        self.roles[role.id] = role
        self._tell("GUILD_ROLE_CREATE", {"guild_id": str(self.id), "role": role.to_json()})
        return role

    def create_member(
        self,
        name: str = "",
        *,
        user: User | None = None,
        roles: Iterable[Role] = (),
        permissions: int | None = None,
        joined_at: float | None = None,
    ) -> Member:
        """Adds a person; `permissions` come on top of @everyone's. `joined_at` is a Unix time, by default now."""
        account = user or self.sandbox.world.create_user(name)
        joined = self.sandbox.clock() if joined_at is None else joined_at
        member = Member(self, account, list(roles), joined)
        member.own_permissions = None if permissions is None else Permission(permissions)
        self.members[account.id] = member
        self.sandbox.touch()
        return member

    def remove_member(self, member: Member) -> None:
        """The person leaves, or (their own member) the bot is removed from the guild."""
        del self.members[member.user.id]
        if member.user is self.sandbox.bot_user:
            self.sandbox.world.forget_guild(self)
            self._tell("GUILD_DELETE", {"id": str(self.id)})
        self.sandbox.touch()

    def create_automod_rule(
        self,
        name: str,
        *,
        keywords: Iterable[str] = (),
        patterns: Iterable[str] = (),
        allowed: Iterable[str] = (),
        exempt_roles: Iterable[Role] = (),
        exempt_channels: Iterable[Channel] = (),
        enabled: bool = True,
    ) -> dict[str, Any]:
        """A keyword rule (trigger type 1) of the guild's AutoMod, as the API shows it."""
        rule = {
            "id": str(self.sandbox.ids.next()),
            "guild_id": str(self.id),
            "name": name,
            "creator_id": str(self.owner_id),
            "event_type": 1,
            "trigger_type": 1,
            "trigger_metadata": {
                "keyword_filter": list(keywords),
                "regex_patterns": list(patterns),
                "allow_list": list(allowed),
            },
            "actions": [{"type": 1, "metadata": {}}],
            "enabled": enabled,
            "exempt_roles": [str(role.id) for role in exempt_roles],
            "exempt_channels": [str(channel.id) for channel in exempt_channels],
        }
        self.automod_rules.append(rule)
        self._tell("AUTO_MODERATION_RULE_CREATE", rule)
        return rule

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        self.sandbox.gateway.to_guild(self, event, data)
        self.sandbox.touch()

    def to_json(self) -> dict[str, Any]:
        """The guild object of the REST API."""
        empty = (
            "icon",
            "splash",
            "discovery_splash",
            "afk_channel_id",
            "application_id",
            "system_channel_id",
            "banner",
        )
        none = ("rules_channel_id", "vanity_url_code", "description", "public_updates_channel_id", "incidents_data")
        return {
            "id": str(self.id),
            "name": self.name,
            "owner_id": str(self.owner_id),
            "region": "deprecated",
            "afk_timeout": 300,
            "verification_level": 0,
            "default_message_notifications": 1,
            "explicit_content_filter": 0,
            "roles": [role.to_json() for role in self.roles.values()],
            "emojis": [],
            "features": [],
            "mfa_level": 0,
            "system_channel_flags": 0,
            "premium_tier": self.boost_tier,
            "premium_subscription_count": 0,
            "preferred_locale": self.locale,
            "nsfw_level": 0,
            "stickers": [],
            "premium_progress_bar_enabled": False,
        } | dict.fromkeys((*empty, *none))

    def gateway_json(self) -> dict[str, Any]:
        """The guild as GUILD_CREATE gives it to an application without the members intent: only its own member."""
        return self.to_json() | {
            "joined_at": iso(self.me.joined_at),
            "large": False,
            "unavailable": False,
            "member_count": len(self.members),
            "voice_states": [],
            "members": [self.me.to_json()],
            "channels": [channel.to_json() for channel in self.channels.values()],
            "threads": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }


class World:
    """All guilds, accounts and direct messages, and the way to find a channel."""

    def __init__(self, sandbox: DiscordSandbox, ids: Snowflakes, bot_user: User, clock: Callable[[], float]) -> None:
        self.sandbox = sandbox
        self.ids = ids
        self.clock = clock
        self.guilds: dict[int, Guild] = {}
        self.users: dict[int, User] = {bot_user.id: bot_user}
        self.channels: dict[int, Channel] = {}
        self.directs: dict[int, Channel] = {}

    def create_user(self, name: str) -> User:
        user = User(self.ids.next(), name)
        self.users[user.id] = user
        return user

    def create_guild(
        self, name: str, *, boost_tier: int = 0, bot_permissions: Permission = BOT, guild_id: int | None = None
    ) -> Guild:
        """A new guild; the bot's role in it grants `bot_permissions`. Successive guilds alternate between shards."""
        guild = Guild(self.sandbox, guild_id or self.ids.next_millisecond(), name, boost_tier)
        owner = self.create_user(f"owner of {name}")
        guild.owner_id = owner.id
        role = Role(self.ids.next(), self.sandbox.bot_user.name, bot_permissions, 1, managed=True)
        guild.roles[role.id] = role
        guild.members[owner.id] = Member(guild, owner, [], self.clock())
        guild.members[self.sandbox.bot_user.id] = Member(guild, self.sandbox.bot_user, [role], self.clock())
        self.guilds[guild.id] = guild
        joined = guild.gateway_json()
        joined.pop("unavailable")  # only a guild that was there before comes with it
        self.sandbox.gateway.to_guild(guild, "GUILD_CREATE", joined)
        self.sandbox.touch()
        return guild

    def forget_guild(self, guild: Guild) -> None:
        """What is left to the bot of a guild that removed it: nothing."""
        del self.guilds[guild.id]
        for channel_id in guild.channels:
            del self.channels[channel_id]

    def channel(self, channel_id: int) -> Channel | None:
        return self.channels.get(channel_id)

    def direct(self, user: User) -> Channel:
        """The direct messages of a person and the bot, made at first use."""
        if user.id not in self.directs:
            channel = Channel(self.sandbox, self.ids.next(), f"@{user.name}", recipient=user)
            self.directs[user.id] = self.channels[channel.id] = channel
        return self.directs[user.id]
