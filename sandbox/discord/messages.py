"""A message as the stand-in keeps it: what people see of it, and the JSON that the API sends of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.discord.cdn import Attachment

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox
    from sandbox.discord.world import Channel, User

SUPPRESS_EMBEDS = 1 << 2
EPHEMERAL = 1 << 6
LOADING = 1 << 7
COMPONENTS_V2 = 1 << 15

BUTTON, TEXT_DISPLAY, THUMBNAIL, GALLERY, FILE = 2, 10, 11, 12, 13
SELECTS = frozenset({3, 5, 6, 7, 8})


@dataclass(frozen=True)
class Button:
    """A button that a person sees on a message. `custom_id` is None for a link."""

    label: str | None
    custom_id: str | None
    disabled: bool
    style: int
    url: str | None
    id: int | None


@dataclass(frozen=True)
class Media:
    """A picture, video or file that a message shows. `data` is None for an address outside Discord."""

    filename: str
    url: str
    content_type: str | None
    size: int
    data: bytes | None = field(repr=False)
    width: int | None
    height: int | None
    spoiler: bool = False


@dataclass
class Pings:
    """Whom a message notifies, after allowed_mentions and permissions; ids of Discord."""

    users: set[int] = field(default_factory=set)
    roles: set[int] = field(default_factory=set)
    everyone: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.roles or self.everyone)


def iso(moment: float) -> str:
    """A Unix time in the notation of Discord's API."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every component of a tree, parents first: rows, containers, sections with their accessory, labels."""
    for component in components:
        yield component
        yield from walk(component.get("components") or [])
        for key in ("accessory", "component"):
            if isinstance(component.get(key), dict):
                yield from walk([component[key]])


def media_items(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The dictionaries that hold a media item: gallery items, thumbnails (`media`) and files (`file`)."""
    for component in walk(components):
        if component["type"] == GALLERY:
            yield from component["items"]
        elif component["type"] in {THUMBNAIL, FILE}:
            yield component


@dataclass(eq=False)
class Message:
    """One message. `seen_by` is the only person who sees it when it is ephemeral.

    In `components`, a media item that shows an attachment holds `{"attachment": <id>}`; addresses are signed only when
    the message is sent out, so that every look at it gives fresh ones.
    """

    sandbox: DiscordSandbox
    id: int
    channel: Channel
    author: User
    at: float
    content: str = ""
    flags: int = 0
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    nonce: str | int | None = None
    pings: Pings = field(default_factory=Pings)
    reference: dict[str, Any] | None = None
    seen_by: User | None = None
    edited_at: float | None = None
    webhook_id: int | None = None
    interaction: dict[str, Any] | None = None
    tts: bool = False
    deleted: bool = False
    edits: int = 0

    def __repr__(self) -> str:
        return f"<Message {self.id} by {self.author.name} in #{self.channel.name}: {self.text[:80]!r}>"

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether people see "is thinking…"."""
        return bool(self.flags & LOADING)

    @property
    def v2(self) -> bool:
        return bool(self.flags & COMPONENTS_V2)

    @property
    def text(self) -> str:
        """All text that people read: the content and every text display, one a line."""
        parts = [self.content] if self.content else []
        parts += [c["content"] for c in walk(self.components) if c["type"] == TEXT_DISPLAY]
        return "\n".join(parts)

    @property
    def buttons(self) -> list[Button]:
        return [
            Button(c.get("label"), c.get("custom_id"), bool(c.get("disabled")), c["style"], c.get("url"), c.get("id"))
            for c in walk(self.components)
            if c["type"] == BUTTON
        ]

    @property
    def selects(self) -> list[dict[str, Any]]:
        return [c for c in walk(self.components) if c["type"] in SELECTS]

    @property
    def media(self) -> list[Media]:
        """What the message shows, in order: components first, then plain attachments."""
        shown = [self._media(item) for item in media_items(self.components)]
        return shown + [self._attached(a, spoiler=a.spoiler) for a in self.plain_attachments]

    @property
    def plain_attachments(self) -> list[Attachment]:
        """The attachments that no component shows; only these are in the message's `attachments`."""
        shown = {
            item[key].get("attachment")
            for item in media_items(self.components)
            for key in ("media", "file")
            if key in item
        }
        return [a for a in self.attachments if a.id not in shown]

    def _media(self, item: dict[str, Any]) -> Media:
        source = item.get("media") or item["file"]
        spoiler = bool(item.get("spoiler"))
        attachment = next((a for a in self.attachments if a.id == source.get("attachment")), None)
        if attachment is not None:
            return self._attached(attachment, spoiler=spoiler)
        url = str(source["url"])
        return Media(url.rpartition("/")[2].partition("?")[0], url, None, 0, None, None, None, spoiler)

    def _attached(self, attachment: Attachment, *, spoiler: bool) -> Media:
        size = attachment.dimensions or (None, None)
        return Media(
            filename=attachment.filename,
            url=self.sandbox.cdn.url(attachment),
            content_type=attachment.content_type,
            size=attachment.size,
            data=attachment.data,
            width=size[0],
            height=size[1],
            spoiler=spoiler,
        )

    def to_json(self) -> dict[str, Any]:
        """The message object of the API, with freshly signed addresses."""
        users, roles, everyone = self.mentioned
        body: dict[str, Any] = {
            "id": str(self.id),
            "type": 19 if self.reference else (20 if self.interaction and self.interaction["type"] == 2 else 0),
            "channel_id": str(self.channel.id),
            "author": self.author.to_json(),
            "content": self.content,
            "timestamp": iso(self.at),
            "edited_timestamp": None if self.edited_at is None else iso(self.edited_at),
            "tts": self.tts,
            "mention_everyone": everyone,
            "mentions": users,
            "mention_roles": roles,
            "attachments": [self.sandbox.cdn.to_json(a) for a in self.plain_attachments],
            "embeds": self.embeds,
            "pinned": False,
            "flags": self.flags,
            "components": self.components_json(),
        }
        optional = {
            "nonce": self.nonce,
            "webhook_id": None if self.webhook_id is None else str(self.webhook_id),
            "application_id": None if self.webhook_id is None else str(self.webhook_id),
            "interaction_metadata": self.interaction,
            "message_reference": self.reference,
        }
        return body | {key: value for key, value in optional.items() if value is not None}

    @property
    def mentioned(self) -> tuple[list[dict[str, Any]], list[str], bool]:
        """What the message object lists as mentioned: users, role ids, everyone."""
        from sandbox.discord.mentions import found_in  # noqa: PLC0415  both describe messages

        return found_in(self)

    def components_json(self) -> list[dict[str, Any]]:
        components = copy.deepcopy(self.components)
        for item in media_items(components):
            key = "media" if "media" in item else "file"
            attachment = next((a for a in self.attachments if a.id == item[key].get("attachment")), None)
            if attachment is None:
                url = item[key]["url"]
                item[key] = {"url": url, "proxy_url": url, "loading_state": 1, "placeholder": None}
                continue
            item[key] = self.sandbox.cdn.media_json(attachment)
            if item.get("type") == FILE:
                item["name"], item["size"] = attachment.filename, attachment.size
        return components

    def find_button(self, *, label: str | None = None, custom_id: str | None = None) -> Button | None:
        for button in self.buttons:
            if (label is None or button.label == label) and (custom_id is None or button.custom_id == custom_id):
                return button
        return None
