"""What people do: slash commands, buttons, menus, modals, and messages of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.discord import commands, forms, options
from sandbox.discord import interactions as ix
from sandbox.discord.cdn import Attachment, File
from sandbox.discord.errors import SandboxError
from sandbox.discord.interactions import Choice, Interaction
from sandbox.discord.media import clean_name
from sandbox.discord.messages import BUTTON, Message
from sandbox.discord.options import Resolved
from sandbox.discord.permissions import Permission

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox
    from sandbox.discord.world import Channel, Guild, User


class Actor:
    """A person at Discord's client. Each method sends one interaction and returns it at once; wait on what comes back.

    SandboxError says that the client would not have let them. `force=True` leaves the client's checks out, as somebody
    with a changed client would.
    """

    def __init__(self, sandbox: DiscordSandbox, user: User, guild: Guild) -> None:
        self.sandbox = sandbox
        self.user = user
        self.home = guild

    def __repr__(self) -> str:
        return f"<Member {self.user.name} of {self.home.name}>"

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def mention(self) -> str:
        return f"<@{self.user.id}>"

    @property
    def dm_channel(self) -> Channel:
        return self.sandbox.world.direct(self.user)

    @property
    def dms(self) -> list[Message]:
        """The direct messages with the bot, oldest first."""
        return self.dm_channel.messages

    def ephemeral(self, channel: Channel) -> list[Message]:
        """The messages in a channel that only this person sees, oldest first."""
        return [m for m in channel.store.values() if m.ephemeral and m.seen_by is self.user]

    # Commands

    async def slash(
        self, channel: Channel, name: str, values: dict[str, Any] | None = None, *, force: bool = False
    ) -> Interaction:
        """Runs a slash command; `name` is "command", "command sub" or "command group sub"."""
        data = self._command_data(channel, name, values or {}, force=force)
        return self._send(ix.COMMAND, channel, data, None, force=force)

    async def autocomplete(
        self,
        channel: Channel,
        name: str,
        values: dict[str, Any],
        *,
        focused: str,
        timeout: float = 3.0,  # noqa: ASYNC109
    ) -> list[Choice]:
        """Types into the option `focused` and returns what the bot suggests."""
        data = self._command_data(channel, name, values, force=False, focused=focused)
        sent = self._send(ix.AUTOCOMPLETE, channel, data, None, force=False)
        return list((await sent.wait_response(timeout)).choices)

    async def context_menu(self, channel: Channel, name: str, message: Message, *, force: bool = False) -> Interaction:
        """Uses a message command from a message's menu."""
        command = self._find(name, commands.MESSAGE, channel, force=force)
        if not force and not self._sees(message):
            raise SandboxError(f"{self!r} does not see {message!r}")
        resolved = {"messages": {str(message.id): message.to_json()}}
        data = {
            "id": command["id"],
            "name": command["name"],
            "type": commands.MESSAGE,
            "target_id": str(message.id),
            "resolved": resolved,
        }
        return self._send(ix.COMMAND, channel, data, None, force=force)

    def _command_data(
        self, channel: Channel, name: str, values: dict[str, Any], *, force: bool, focused: str | None = None
    ) -> dict[str, Any]:
        head, *path = name.removeprefix("/").split()
        command = self._find(head, commands.CHAT_INPUT, channel, force=force)
        resolved = Resolved(channel)
        built = options.build(command, path, values, resolved, checked=not force, focused=focused)
        data: dict[str, Any] = {
            "id": command["id"],
            "name": command["name"],
            "type": commands.CHAT_INPUT,
            "options": built,
        }
        if "guild_id" in command:
            data["guild_id"] = command["guild_id"]
        if resolved.parts:
            data["resolved"] = resolved.parts
        return data

    def _find(self, name: str, kind: int, channel: Channel, *, force: bool) -> dict[str, Any]:
        guild = channel.guild
        command = self.sandbox.commands.find(name, kind, None if guild is None else guild.id)
        if command is None:
            raise SandboxError(f"no command {name!r} is registered here")
        if not force:
            self._check_use(command, channel)
        return command

    def _check_use(self, command: dict[str, Any], channel: Channel) -> None:
        contexts = command.get("contexts")
        here = 1 if channel.guild is None else 0
        if contexts is not None and here not in contexts:
            raise SandboxError(f"{command['name']!r} cannot be used here")
        if channel.guild is None:
            if contexts is None and command.get("dm_permission") is False:
                raise SandboxError(f"{command['name']!r} cannot be used in direct messages")
            return
        held = channel.permissions_of(self.user)
        if command.get("nsfw") and not channel.nsfw:
            raise SandboxError(f"{command['name']!r} is for age-restricted channels")
        needed = command.get("default_member_permissions")
        allowed = (
            needed is None or held & Permission.ADMINISTRATOR or (int(needed) and held & int(needed) == int(needed))
        )
        if not allowed or not held & Permission.USE_APPLICATION_COMMANDS:
            raise SandboxError(f"{self!r} may not use {command['name']!r} here")

    # Components and modals

    async def click(self, message: Message, label: str | None = None, *, custom_id: str | None = None) -> Interaction:
        """Presses the button with this label or custom_id; SandboxError if it is not there or disabled."""
        button = message.find_button(label=label, custom_id=custom_id)
        if button is None or button.custom_id is None:
            shown = [b.label for b in message.buttons]
            raise SandboxError(f"there is no button {label or custom_id!r} on {message!r}, only {shown}")
        if button.disabled:
            raise SandboxError(f"the button {button.label!r} is disabled")
        if message.deleted or not self._sees(message):
            raise SandboxError(f"{self!r} does not see {message!r}")
        return await self.press(message.channel, button.custom_id, message, component_id=button.id)

    async def press(
        self, channel: Channel, custom_id: str, message: Message, *, component_id: int | None = None
    ) -> Interaction:
        """Sends a button press without any check: an old message, a forged custom_id."""
        data = {"custom_id": custom_id, "component_type": BUTTON, "id": component_id or 1}
        return self._send(ix.COMPONENT, channel, data, message, force=True)

    async def select(self, message: Message, values: list[Any], *, custom_id: str | None = None) -> Interaction:
        """Chooses from a select menu, the first one if no custom_id is given."""
        menus = [m for m in message.selects if custom_id in {None, m["custom_id"]} and not m.get("disabled")]
        if not menus or message.deleted or not self._sees(message):
            raise SandboxError(f"there is no menu {custom_id!r} to use on {message!r}")
        menu = menus[0]
        known = [option["value"] for option in menu.get("options") or ()]
        low, high = menu.get("min_values"), menu.get("max_values")
        if not (1 if low is None else low) <= len(values) <= (1 if high is None else high):
            raise SandboxError(f"{len(values)} values do not fit the menu")
        if menu["type"] == 3 and any(value not in known for value in values):
            raise SandboxError(f"{values} is none of {known}")
        resolved = Resolved(message.channel)
        chosen = [resolved.snowflake(value) for value in values]
        data = {"custom_id": menu["custom_id"], "component_type": menu["type"], "id": menu["id"], "values": chosen}
        if resolved.parts:
            data["resolved"] = resolved.parts
        return self._send(ix.COMPONENT, message.channel, data, message, force=False)

    async def submit(
        self, opened: Interaction, values: dict[str, Any] | None = None, *, force: bool = False
    ) -> Interaction:
        """Sends the modal that `opened` answered with; may be done twice, as a nervous person does."""
        modal = opened.modal
        if modal is None:
            raise SandboxError(f"{opened!r} did not open a modal")
        resolved = Resolved(opened.channel)
        data = forms.build(modal, values or {}, resolved, checked=not force)
        sent = self._make(ix.MODAL_SUBMIT, opened.channel, data, opened.source)
        sent.triggered_by = opened.metadata()
        return self._deliver(sent)

    # Their own messages

    async def say(self, channel: Channel, content: str = "", files: list[File] | None = None) -> Message:
        """Writes a message."""
        if not self._may(channel, Permission.SEND_MESSAGES):
            raise SandboxError(f"{self!r} may not write in #{channel.name}")
        sandbox = self.sandbox
        message = Message(sandbox, sandbox.ids.next(), channel, self.user, sandbox.clock(), content)
        for file in files or []:
            attachment = Attachment(sandbox.ids.next(), channel.id, clean_name(file.name), file.data)
            message.attachments.append(sandbox.cdn.add(attachment))
        channel.store[message.id] = message
        sandbox.gateway.to_channel(channel, "MESSAGE_CREATE", message.to_json())
        sandbox.touch()
        return message

    # Inside

    def _may(self, channel: Channel, permission: Permission) -> bool:
        return bool(channel.permissions_of(self.user) & permission)

    def _sees(self, message: Message) -> bool:
        if message.ephemeral:
            return message.seen_by is self.user
        return self._may(message.channel, Permission.VIEW_CHANNEL)

    def _send(
        self, kind: int, channel: Channel, data: dict[str, Any], message: Message | None, *, force: bool
    ) -> Interaction:
        if not force and not self._may(channel, Permission.VIEW_CHANNEL):
            raise SandboxError(f"{self!r} does not see #{channel.name}")
        return self._deliver(self._make(kind, channel, data, message))

    def _make(self, kind: int, channel: Channel, data: dict[str, Any], message: Message | None) -> Interaction:
        return Interaction(self.sandbox, kind, self.user, channel, data, message)

    def _deliver(self, sent: Interaction) -> Interaction:
        self.sandbox.interactions[sent.id] = sent
        self.sandbox.tokens[sent.token] = sent
        sent.delivered_to = self.sandbox.gateway.interaction(sent.guild, sent.to_json())
        self.sandbox.touch()
        return sent
