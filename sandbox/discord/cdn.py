"""Uploaded files, and the signed, expiring addresses that serve them (Discord: Attachment URLs, `ex`, `is`, `hm`)."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from sandbox.discord import media

_PATH = re.compile(r"/(?P<kind>attachments|ephemeral-attachments)/(?P<owner>\d+)/(?P<id>\d+)/(?P<name>[^/?]+)")


@dataclass(eq=False)
class File:
    """A file that a person uploads; `name` is what their disk calls it."""

    name: str
    data: bytes


@dataclass(eq=False)
class Attachment:
    """One uploaded file. `owner_id` is the channel, or the application for an ephemeral attachment."""

    id: int
    owner_id: int
    filename: str
    data: bytes = field(repr=False)
    description: str | None = None
    ephemeral: bool = False
    spoiler: bool = False
    deleted: bool = False

    def __post_init__(self) -> None:
        self.content_type = media.content_type(self.filename)
        self.size = len(self.data)
        self.dimensions = media.dimensions(self.data, self.content_type)

    @property
    def path(self) -> str:
        kind = "ephemeral-attachments" if self.ephemeral else "attachments"
        return f"/{kind}/{self.owner_id}/{self.id}/{self.filename}"


class Cdn:
    """Keeps the files in memory, signs their addresses, and serves them until they expire."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.base = ""
        self.files: dict[int, Attachment] = {}
        self._key = hashlib.sha256(str(time.monotonic_ns()).encode()).digest()

    def add(self, attachment: Attachment) -> Attachment:
        self.files[attachment.id] = attachment
        return attachment

    def url(self, attachment: Attachment) -> str:
        """A fresh address, good for `seconds` from now."""
        issued = int(self.clock())
        expires = f"{int(issued + self.seconds):x}"
        since = f"{issued:x}"
        mac = self._sign(attachment.path, expires, since)
        return f"{self.base}{attachment.path}?ex={expires}&is={since}&hm={mac}&"

    def find(self, url: str) -> Attachment | None:
        """The attachment of one of our own addresses, expired or not, None for any other address."""
        parts = urlsplit(url)
        match = _PATH.fullmatch(parts.path)
        if match is None or f"{parts.scheme}://{parts.netloc}" != self.base:
            return None
        found = self.files.get(int(match["id"]))
        return found if found is not None and found.path == parts.path else None

    def to_json(self, attachment: Attachment) -> dict[str, Any]:
        url = self.url(attachment)
        body: dict[str, Any] = {
            "id": str(attachment.id),
            "filename": attachment.filename,
            "size": attachment.size,
            "url": url,
            "proxy_url": url,
        }
        if attachment.content_type is not None:
            body["content_type"] = attachment.content_type
        if attachment.dimensions is not None:
            body["width"], body["height"] = attachment.dimensions
        if attachment.description is not None:
            body["description"] = attachment.description
        if attachment.ephemeral:
            body["ephemeral"] = True
        if attachment.spoiler:
            body["flags"] = 8
        return body

    def media_json(self, attachment: Attachment) -> dict[str, Any]:
        """The unfurled media item of a component that shows the file (Discord: Unfurled media item)."""
        url = self.url(attachment)
        size = attachment.dimensions
        return {
            "id": str(attachment.id),
            "url": url,
            "proxy_url": url,
            "width": None if size is None else size[0],
            "height": None if size is None else size[1],
            "content_type": attachment.content_type,
            "size": attachment.size,
            "placeholder": None,
            "loading_state": 2,
            "attachment_id": str(attachment.id),
            "flags": 0,
        }

    def delete(self, attachment: Attachment) -> None:
        attachment.deleted = True
        attachment.data = b""

    def _sign(self, path: str, expires: str, since: str) -> str:
        return hmac.new(self._key, f"{path}?{expires}&{since}".encode(), "sha256").hexdigest()

    async def serve(self, request: web.Request) -> web.Response:
        """GET of a file; 404 if the address is expired, changed, or its message is gone."""
        query = {key: values[-1] for key, values in parse_qs(request.query_string).items()}
        attachment = self.files.get(int(request.match_info["id"]))
        if (
            attachment is None
            or attachment.deleted
            or request.path != attachment.path
            or not self._valid(request, query)
        ):
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(
            body=attachment.data, content_type=(attachment.content_type or "application/octet-stream").split(";")[0]
        )

    def _valid(self, request: web.Request, query: dict[str, str]) -> bool:
        try:
            expires, since, mac = query["ex"], query["is"], query["hm"]
            alive = int(expires, 16) > self.clock()
        except (KeyError, ValueError):
            return False
        return alive and hmac.compare_digest(mac, self._sign(request.path, expires, since))
