"""An interaction from the press of a button to its last message, and the rules for answering it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.discord import modals
from sandbox.discord.errors import ApiError, Form, SandboxError, unknown_interaction, unknown_webhook
from sandbox.discord.messages import EPHEMERAL, Message
from sandbox.discord.permissions import DIRECT

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox
    from sandbox.discord.world import Channel, Guild, Member, User

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
NEW_MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
KINDS = {
    NEW_MESSAGE: "message",
    DEFERRED: "deferred",
    DEFERRED_UPDATE: "deferred_update",
    UPDATE: "update",
    CHOICES: "autocomplete",
    MODAL: "modal",
}


class Choice(NamedTuple):
    """One suggestion of an autocomplete answer."""

    name: str
    value: Any


@dataclass(frozen=True)
class Response:
    """The first answer to an interaction. `at` is the sandbox's clock; `message` is live and changes with edits."""

    kind: str
    at: float
    ephemeral: bool = False
    message: Message | None = None
    modal: modals.Modal | None = None
    choices: tuple[Choice, ...] = ()


class Interaction:
    """One interaction, and everything the bot did with it. Persons get it from their own methods (`Member.slash`…)."""

    def __init__(
        self,
        sandbox: DiscordSandbox,
        kind: int,
        user: User,
        channel: Channel,
        data: dict[str, Any],
        message: Message | None,
    ) -> None:
        self.sandbox = sandbox
        self.id = sandbox.ids.next()
        self.token = f"aW50ZXJhY3Rpb246{secrets.token_urlsafe(48)}"
        self.kind = kind
        self.user = user
        self.channel = channel
        self.data = data
        self.source = message
        self.triggered_by: dict[str, Any] | None = None
        self.sent_at = sandbox.clock()
        self.delivered_to = 0
        self.response: Response | None = None
        self.response_seconds: float | None = None
        self.original: Message | None = None
        self.followups: list[Message] = []
        self._started = time.perf_counter()

    def __repr__(self) -> str:
        kind = {COMMAND: "command", COMPONENT: "component", AUTOCOMPLETE: "autocomplete"}.get(self.kind, "modal submit")
        name = self.data.get("name") or self.data.get("custom_id")
        return f"<Interaction {kind} {name!r} by {self.user.name}: {self.response}>"

    @property
    def guild(self) -> Guild | None:
        return self.channel.guild

    @property
    def modal(self) -> modals.Modal | None:
        return None if self.response is None else self.response.modal

    @property
    def failed(self) -> bool:
        """Whether the person reads "The application did not respond"."""
        late = self.sandbox.clock() - self.sent_at > self.sandbox.response_seconds
        return self.response is None and late

    @property
    def messages(self) -> list[Message]:
        """The original response and the followups that are still there."""
        found = [*([self.original] if self.original is not None else []), *self.followups]
        return [message for message in found if not message.deleted]

    # Waiting, for tests and demos

    async def wait_response(self, timeout: float = 3.0) -> Response:  # noqa: ASYNC109  tests say how long they wait
        """The first answer; SandboxTimeout if it does not come in `timeout` seconds."""
        await self.sandbox.wait_for(lambda: self.response is not None, timeout, what=f"an answer to {self!r}")
        if self.response is None:
            raise SandboxError("the answer is gone")
        return self.response

    async def wait_message(self, timeout: float = 10.0) -> Message:  # noqa: ASYNC109  tests say how long they wait
        """The original response once it no longer says "is thinking…"."""

        def final() -> bool:
            return self.original is not None and not self.original.loading

        await self.sandbox.wait_for(final, timeout, what=f"the final message of {self!r}")
        if self.original is None:
            raise SandboxError("the message is gone")
        return self.original

    async def wait_followup(self, timeout: float = 10.0, *, number: int = 1) -> Message:  # noqa: ASYNC109  tests say how long they wait
        """The `number`th followup message."""
        await self.sandbox.wait_for(
            lambda: len(self.followups) >= number, timeout, what=f"followup {number} of {self!r}"
        )
        return self.followups[number - 1]

    # What goes over the gateway

    def to_json(self) -> dict[str, Any]:
        sandbox, guild = self.sandbox, self.guild
        body: dict[str, Any] = {
            "id": str(self.id),
            "application_id": str(sandbox.application_id),
            "type": self.kind,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel_id": str(self.channel.id),
            "channel": self.channel.partial_json(self.user),
            "locale": self.user.locale,
            "entitlements": [],
            "entitlement_sku_ids": [],
            "attachment_size_limit": self.channel.upload_limit,
        }
        if self.source is not None and self.kind in {COMPONENT, MODAL_SUBMIT}:
            body["message"] = self.source.to_json()
        if guild is None:
            owners = {"0": "0"}
            return body | {
                "user": self.user.to_json(),
                "context": 1,
                "app_permissions": str(int(DIRECT)),
                "authorizing_integration_owners": owners,
            }
        permissions = self.channel.permissions_of(self.user)
        member: Member = guild.members[self.user.id]
        return body | {
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
            "guild_locale": guild.locale,
            "member": member.to_json() | {"permissions": str(int(permissions))},
            "app_permissions": str(int(self.channel.permissions_of(sandbox.bot_user))),
            "context": 0,
            "authorizing_integration_owners": {"0": str(guild.id)},
        }

    def metadata(self) -> dict[str, Any]:
        """`interaction_metadata` of the messages that answer it."""
        body: dict[str, Any] = {
            "id": str(self.id),
            "type": self.kind,
            "user": self.user.to_json(),
            "authorizing_integration_owners": {"0": "0" if self.guild is None else str(self.guild.id)},
        }
        if self.kind == COMMAND and self.data.get("target_id") and self.data.get("type") == 3:
            body["target_message_id"] = str(self.data["target_id"])
        if self.kind == COMPONENT and self.source is not None:
            body["interacted_message_id"] = str(self.source.id)
        if self.kind == MODAL_SUBMIT and self.triggered_by is not None:
            body["triggering_interaction_metadata"] = self.triggered_by
        return body

    # What the bot may do

    def may_respond(self, kind: Any) -> None:
        """Raises what Discord answers to a first response that comes late, twice, or of the wrong kind."""
        if self.response is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        if self.failed:
            raise unknown_interaction()
        allowed = {
            COMMAND: {NEW_MESSAGE, DEFERRED, MODAL},
            COMPONENT: {NEW_MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, MODAL},
            AUTOCOMPLETE: {CHOICES},
            MODAL_SUBMIT: {NEW_MESSAGE, DEFERRED},
        }[self.kind]
        if self.kind == MODAL_SUBMIT and self.source is not None:
            allowed |= {DEFERRED_UPDATE, UPDATE}
        if kind not in allowed:
            form = Form()
            form.add(
                "type", "INTERACTION_RESPONSE_TYPE_INVALID", f"Response type {kind!r} does not fit this interaction."
            )
            form.check()

    def respond(self, response: Response) -> None:
        self.response = response
        self.response_seconds = time.perf_counter() - self._started
        if response.message is not None:
            self.original = response.message
        self.sandbox.touch()

    def check_token(self) -> None:
        """Raises what Discord answers on the interaction's webhook: token dead, or nothing responded yet."""
        if self.sandbox.clock() - self.sent_at > self.sandbox.token_seconds:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        if self.response is None:
            raise unknown_webhook()

    def find(self, which: str) -> Message:
        """The message that `@original` or an id names on the interaction's webhook; 404 if it is none of its own."""
        known = [*([self.original] if self.original is not None else []), *self.followups]
        for message in known:
            named = message is self.original if which == "@original" else str(message.id) == which
            if named and not message.deleted:
                return message
        raise ApiError(404, 10008, "Unknown Message")


def read_choices(form: Form, data: Any) -> tuple[Choice, ...]:
    """The suggestions of an autocomplete answer, at most 25, names of 1 to 100 characters."""
    found: list[Choice] = []
    listed = form.items("data.choices", (data or {}).get("choices"), 0, 25)
    for index, choice in enumerate(listed):
        path = f"data.choices.{index}"
        form.text(f"{path}.name", choice.get("name"), 1, 100)
        value = choice.get("value")
        if isinstance(value, str):
            form.text(f"{path}.value", value, 0, 100)
        found.append(Choice(str(choice.get("name")), value))
    return tuple(found)


def is_ephemeral(flags: Any) -> bool:
    return isinstance(flags, int) and bool(flags & EPHEMERAL)
