"""The Python API over HTTP, `/sandbox/…` on the same server, for a driver in another process. Loopback only.

Bodies and answers are JSON. Ids are strings. A file is `{"file": name, "data": base64}`. A refusal of the client's is
409 with `{"error": sentence}`, a thing that is not there 404.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.discord.cdn import File
from sandbox.discord.errors import SandboxError, SandboxTimeout
from sandbox.discord.interactions import Interaction
from sandbox.discord.messages import Message
from sandbox.discord.modals import Modal

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox
    from sandbox.discord.world import Channel, Guild, Member

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_LONGEST_WAIT = 60.0  # seconds


class _Missing(Exception):
    """Something that the request names is not there."""


def message_view(message: Message) -> dict[str, Any]:
    """What people see of a message."""
    return {
        "id": str(message.id),
        "channel": str(message.channel.id),
        "author": message.author.name,
        "text": message.text,
        "ephemeral": message.ephemeral,
        "seen_by": None if message.seen_by is None else str(message.seen_by.id),
        "loading": message.loading,
        "deleted": message.deleted,
        "edits": message.edits,
        "flags": message.flags,
        "pings": sorted(str(user) for user in message.pings.users),
        "embeds": message.embeds,
        "components": message.components_json(),
        "buttons": [vars(button) for button in message.buttons],
        "media": [{key: value for key, value in vars(item).items() if key != "data"} for item in message.media],
    }


def modal_view(modal: Modal) -> dict[str, Any]:
    fields = [
        vars(field) | {"options": list(field.options), "file_types": list(field.file_types)} for field in modal.fields
    ]
    return {"title": modal.title, "custom_id": modal.custom_id, "text": modal.text, "fields": fields}


def interaction_view(found: Interaction) -> dict[str, Any]:
    response = found.response
    return {
        "id": str(found.id),
        "kind": None if response is None else response.kind,
        "ephemeral": None if response is None else response.ephemeral,
        "seconds": found.response_seconds,
        "failed": found.failed,
        "modal": None if found.modal is None else modal_view(found.modal),
        "original": None if found.original is None else message_view(found.original),
        "followups": [message_view(message) for message in found.followups],
    }


def guild_view(guild: Guild) -> dict[str, Any]:
    return {
        "id": str(guild.id),
        "name": guild.name,
        "boost_tier": guild.boost_tier,
        "channels": [{"id": str(c.id), "name": c.name, "nsfw": c.nsfw} for c in guild.channels.values()],
        "members": [{"id": str(m.user.id), "name": m.user.name, "bot": m.user.bot} for m in guild.members.values()],
    }


def _values(raw: Any) -> Any:
    """JSON with files in it, as the Python API takes them."""
    if isinstance(raw, dict) and "file" in raw and "data" in raw:
        return File(str(raw["file"]), base64.b64decode(raw["data"]))
    if isinstance(raw, dict):
        return {key: _values(value) for key, value in raw.items()}
    return [_values(value) for value in raw] if isinstance(raw, list) else raw


class Control:
    """The handlers. Each takes the decoded body and returns what to encode."""

    def __init__(self, sandbox: DiscordSandbox) -> None:
        self.sandbox = sandbox

    # Finding things

    def _message(self, value: Any) -> Message:
        found = self.sandbox.message(int(value))
        if found is None:
            raise _Missing(f"message {value}")
        return found

    def _channel(self, value: Any) -> Channel:
        found = self.sandbox.world.channel(int(value))
        if found is None:
            raise _Missing(f"channel {value}")
        return found

    def _interaction(self, value: Any) -> Interaction:
        found = self.sandbox.interactions.get(int(value))
        if found is None:
            raise _Missing(f"interaction {value}")
        return found

    def _member(self, value: Any, channel: Channel | None = None) -> Member:
        """A person by id or name, in the channel's guild, or (direct messages) in any."""
        guilds = [channel.guild] if channel is not None and channel.guild is not None else self.sandbox.guilds
        for guild in guilds:
            for member in guild.members.values():
                if str(value) in {str(member.user.id), member.user.name}:
                    return member
        raise _Missing(f"member {value}")

    # Looking

    async def state(self, _: Any, __: web.Request) -> Any:
        return self.sandbox.state() | {"changes": self.sandbox.changes}

    async def changes(self, _: Any, request: web.Request) -> Any:
        """Waits until something changed since `since`, at most `timeout` seconds."""
        since = int(request.query.get("since", self.sandbox.changes))
        timeout = min(float(request.query.get("timeout", 25)), _LONGEST_WAIT)
        try:
            await self.sandbox.wait_for(lambda: self.sandbox.changes > since, timeout, what="a change")
        except SandboxTimeout:
            return {"changes": self.sandbox.changes, "changed": False}
        return {"changes": self.sandbox.changes, "changed": True}

    async def guilds(self, _: Any, __: web.Request) -> Any:
        return [guild_view(guild) for guild in self.sandbox.guilds]

    async def commands(self, _: Any, request: web.Request) -> Any:
        guild = int(request.query.get("guild", 0))
        return [*self.sandbox.commands.in_guild.get(guild, []), *self.sandbox.commands.everywhere]

    async def messages(self, _: Any, request: web.Request) -> Any:
        """The public messages of a channel and, with `as`, what only that person sees, oldest first."""
        channel = self._channel(request.match_info["id"])
        found = list(channel.messages)
        if "as" in request.query:
            found += self._member(request.query["as"], channel).ephemeral(channel)
        return [message_view(message) for message in sorted(found, key=lambda m: m.id)]

    async def directs(self, _: Any, request: web.Request) -> Any:
        return [message_view(message) for message in self._member(request.match_info["user"]).dms]

    async def message(self, _: Any, request: web.Request) -> Any:
        return message_view(self._message(request.match_info["id"]))

    async def interaction(self, _: Any, request: web.Request) -> Any:
        """`wait=response` or `wait=message` waits for it, at most `timeout` seconds."""
        found = self._interaction(request.match_info["id"])
        timeout = min(float(request.query.get("timeout", 10)), _LONGEST_WAIT)
        if request.query.get("wait") == "response":
            await found.wait_response(timeout)
        elif request.query.get("wait") == "message":
            await found.wait_message(timeout)
        return interaction_view(found)

    async def ready(self, _: Any, request: web.Request) -> Any:
        await self.sandbox.wait_ready(min(float(request.query.get("timeout", 15)), _LONGEST_WAIT))
        return {"ready": True}

    # Making

    async def create_guild(self, body: Any, _: web.Request) -> Any:
        guild = self.sandbox.create_guild(str(body["name"]), boost_tier=int(body.get("boost_tier", 0)))
        for name in body.get("channels", []):
            guild.create_channel(str(name))
        for name in body.get("members", []):
            guild.create_member(str(name))
        return guild_view(guild)

    # Acting

    async def slash(self, body: Any, _: web.Request) -> Any:
        channel = self._channel(body["channel"])
        member = self._member(body["user"], channel)
        force = bool(body.get("force"))
        return interaction_view(await member.slash(channel, body["name"], _values(body.get("values", {})), force=force))

    async def autocomplete(self, body: Any, _: web.Request) -> Any:
        channel = self._channel(body["channel"])
        member = self._member(body["user"], channel)
        choices = await member.autocomplete(channel, body["name"], _values(body["values"]), focused=body["focused"])
        return [{"name": choice.name, "value": choice.value} for choice in choices]

    async def context_menu(self, body: Any, _: web.Request) -> Any:
        message = self._message(body["message"])
        member = self._member(body["user"], message.channel)
        return interaction_view(await member.context_menu(message.channel, body["name"], message))

    async def click(self, body: Any, _: web.Request) -> Any:
        message = self._message(body["message"])
        member = self._member(body["user"], message.channel)
        return interaction_view(await member.click(message, body.get("label"), custom_id=body.get("custom_id")))

    async def select(self, body: Any, _: web.Request) -> Any:
        message = self._message(body["message"])
        member = self._member(body["user"], message.channel)
        return interaction_view(await member.select(message, body["values"], custom_id=body.get("custom_id")))

    async def submit(self, body: Any, _: web.Request) -> Any:
        opened = self._interaction(body["interaction"])
        member = self._member(body.get("user", opened.user.id), opened.channel)
        return interaction_view(await member.submit(opened, _values(body.get("values", {}))))

    async def say(self, body: Any, _: web.Request) -> Any:
        channel = self._channel(body["channel"])
        files = [_values(file) for file in body.get("files", [])]
        return message_view(await self._member(body["user"], channel).say(channel, body.get("content", ""), files))


def attach(app: web.Application, sandbox: DiscordSandbox) -> None:
    """Adds the control routes to the server."""
    control = Control(sandbox)
    gets = {
        "state": control.state,
        "changes": control.changes,
        "ready": control.ready,
        "guilds": control.guilds,
        "commands": control.commands,
        r"channels/{id:\d+}/messages": control.messages,
        "directs/{user}": control.directs,
        r"messages/{id:\d+}": control.message,
        r"interactions/{id:\d+}": control.interaction,
    }
    posts = {
        "guilds": control.create_guild,
        "slash": control.slash,
        "autocomplete": control.autocomplete,
        "context_menu": control.context_menu,
        "click": control.click,
        "select": control.select,
        "submit": control.submit,
        "say": control.say,
    }
    listing = {"GET": [f"/sandbox/{path}" for path in gets], "POST": [f"/sandbox/{path}" for path in posts]}
    listing = {method: [path.replace(r":\d+", "") for path in paths] for method, paths in listing.items()}

    async def paths(_: Any, __: web.Request) -> Any:
        return listing

    app.router.add_get("/sandbox/", _wrap(paths))
    for path, handler in gets.items():
        app.router.add_get(f"/sandbox/{path}", _wrap(handler))
    for path, handler in posts.items():
        app.router.add_post(f"/sandbox/{path}", _wrap(handler))


def _wrap(handler: Callable[[Any, web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if request.remote not in _LOOPBACK:
            return web.json_response({"error": "loopback only"}, status=403)
        try:
            body = await request.json() if request.method == "POST" else None
            return web.json_response(await handler(body, request))
        except _Missing as missing:
            return web.json_response({"error": f"there is no {missing}"}, status=404)
        except SandboxError as refusal:
            return web.json_response({"error": str(refusal)}, status=409)
        except (KeyError, TypeError, ValueError) as fault:
            return web.json_response({"error": f"{type(fault).__name__}: {fault}"}, status=400)

    return handle
