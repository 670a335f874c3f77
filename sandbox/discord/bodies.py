"""One message body, create or edit, checked against all rules that the OpenAPI description does not know."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sandbox.discord import components, mentions
from sandbox.discord.cdn import Attachment
from sandbox.discord.errors import ApiError, Form, words
from sandbox.discord.media import clean_name
from sandbox.discord.messages import COMPONENTS_V2, EPHEMERAL, SUPPRESS_EMBEDS, Message

_PARAMETER = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SUPPRESS_NOTIFICATIONS = 1 << 12
_VOICE = 1 << 13
_COMMON = words("content embeds components flags allowed_mentions attachments poll tts")
FIELDS = {
    "create": _COMMON | words("sticker_ids nonce enforce_nonce message_reference"),
    "edit": _COMMON | words("sticker_ids"),
    "response": _COMMON,
    "webhook": _COMMON | words("username avatar_url thread_name applied_tags"),
}
# What Discord takes, and what discord.py sends back of an attachment that is already there.
_ATTACHMENT_KEYS = words(
    "id filename description duration_secs waveform title is_spoiler is_remix "
    "size url proxy_url height width content_type spoiler ephemeral flags"
)
_SETTABLE = SUPPRESS_EMBEDS | EPHEMERAL | COMPONENTS_V2 | _SUPPRESS_NOTIFICATIONS | _VOICE


@dataclass(eq=False)
class Upload:
    """One file of a multipart body, `files[index]`."""

    index: int
    filename: str
    data: bytes


@dataclass
class Body:
    """A request body: its JSON, and its files."""

    json: Any
    uploads: list[Upload]


def parse(raw: bytes, content_type: str) -> Body:
    """Reads JSON, or multipart with `payload_json` and `files[n]`; 400 with 50109 for what is neither."""
    if not content_type.startswith("multipart/form-data"):
        return Body(_json(raw) if raw else {}, [])
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    payload: Any = {}
    uploads: list[Upload] = []
    for part in raw.split(b"--" + boundary)[1:-1]:
        head, _, data = part[2:-2].partition(b"\r\n\r\n")
        names = _disposition(head.decode("utf-8", "replace"))
        name = names.get("name", "")
        if name == "payload_json":
            payload = _json(data)
        elif name.startswith("files[") and name[6:-1].isdigit():
            uploads.append(Upload(int(name[6:-1]), names.get("filename", ""), data))
        else:
            raise ApiError(
                400, 50035, "Invalid Form Body", errors={name or "?": {"_errors": [{"code": "UNKNOWN_PART"}]}}
            )
    return Body(payload, uploads)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from None


def _disposition(head: str) -> dict[str, str]:
    line = next((x for x in head.split("\r\n") if x.lower().startswith("content-disposition:")), "")
    return dict(_PARAMETER.findall(line))


def check_size(body: Body, limit: int) -> None:
    """Discord: 413 with 40005 for a file over the limit of the place (bytes)."""
    for upload in body.uploads:
        if len(upload.data) > limit:
            raise ApiError(413, 40005, "Request entity too large")


def check(body: Body, kind: str, form: Form, old: Message | None = None) -> None:
    """Notes every fault of a message body; `kind` is a key of FIELDS, `old` the message that an edit changes."""
    data = body.json
    if not isinstance(data, dict):
        form.add("", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return
    form.known("", data, FIELDS[kind])
    flags = _check_flags(form, data, old)
    v2 = bool(flags & COMPONENTS_V2)
    names = _check_attachments(form, body, old)
    _check_content(form, data, v2=v2)
    if data.get("embeds") is not None:
        check_embeds(form, data["embeds"], names)
        if v2 and data["embeds"]:
            form.add(
                "embeds",
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                "Embeds cannot be used with components V2.",
            )
    if data.get("components") is not None:
        components.check(form, data["components"], v2=v2, names=names)
    mentions.check(form, data.get("allowed_mentions"))
    nonce = data.get("nonce")
    if isinstance(nonce, str):
        form.text("nonce", nonce, 0, 25)


def _check_flags(form: Form, data: dict[str, Any], old: Message | None) -> int:
    flags = data.get("flags")
    if flags is None:
        return old.flags if old is not None else 0
    if not isinstance(flags, int):
        form.add("flags", "NUMBER_TYPE_COERCE", "Must be an integer.")
        return 0
    if flags & ~_SETTABLE:
        form.notes.append(f"flags {flags} has bits that an application cannot set")
    if old is not None and old.v2:
        # The flag cannot be taken away; an edit that leaves it out still edits a V2 message.
        return flags | COMPONENTS_V2
    return flags


def _check_content(form: Form, data: dict[str, Any], *, v2: bool) -> None:
    content = data.get("content")
    if content is None or not form.text("content", content, 0, 2000):
        return
    if v2 and content:
        form.add(
            "content",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
            "Content cannot be used with components V2.",
        )


def _check_attachments(form: Form, body: Body, old: Message | None) -> set[str]:
    """The names that `attachment://` may use."""
    listed = body.json.get("attachments")
    uploads = {upload.index: upload for upload in body.uploads}
    existing = {attachment.id: attachment for attachment in (old.attachments if old is not None else [])}
    names: set[str] = set()
    if listed is None:
        names |= {a.filename for a in existing.values()}
        listed = [{"id": index} for index in uploads]
    for index, entry in enumerate(form.items("attachments", listed, 0, 10)):
        form.known(f"attachments.{index}", entry, _ATTACHMENT_KEYS)
        number = int(entry["id"]) if str(entry.get("id", "")).isdigit() else -1
        if number in uploads:
            name = entry.get("filename") or uploads.pop(number).filename
            uploads.pop(number, None)
            names |= {name, clean_name(name)}
        elif number in existing:
            names.add(existing[number].filename)
        else:
            form.add(
                f"attachments.{index}.id", "ATTACHMENT_NOT_FOUND", "There is no file and no attachment with this id."
            )
    if uploads:
        # Files that the list leaves out are taken all the same.
        names |= {upload.filename for upload in uploads.values()}
    if len(body.uploads) > 10:
        form.add("files", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    return names


def check_embeds(form: Form, embeds: Any, names: set[str]) -> None:
    """Discord: Embed limits."""
    total = 0
    for index, embed in enumerate(form.items("embeds", embeds, 0, 10)):
        path = f"embeds.{index}"
        limits = (("title", 256), ("description", 4096))
        texts = [(f"{path}.{key}", embed.get(key), limit) for key, limit in limits]
        texts.append((f"{path}.footer.text", (embed.get("footer") or {}).get("text"), 2048))
        texts.append((f"{path}.author.name", (embed.get("author") or {}).get("name"), 256))
        for number, entry in enumerate(form.items(f"{path}.fields", embed.get("fields") or [], 0, 25)):
            for key, limit in (("name", 256), ("value", 1024)):
                form.text(f"{path}.fields.{number}.{key}", entry.get(key), 1, limit)
                total += len(str(entry.get(key)))
        for where, text, limit in texts:
            if text is not None and form.text(where, text, 0, limit):
                total += len(text)
        for key in ("image", "thumbnail"):
            url = (embed.get(key) or {}).get("url") or ""
            if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
                form.add(f"{path}.{key}.url", "ATTACHMENT_NOT_FOUND", "The referenced attachment was not found.")
    if total > 6000:
        form.add("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def attachments(body: Body, old: Message | None, make: Any) -> list[Attachment]:
    """The attachments that the message has after this body: kept ones, then new ones.

    `make(filename, data, description)` stores a new file.
    """
    listed = body.json.get("attachments")
    existing = list(old.attachments) if old is not None else []
    entries = {int(e["id"]): e for e in listed or [] if str(e.get("id", "")).isdigit()}
    kept = existing if listed is None else [a for a in existing if a.id in entries]
    for attachment in kept:
        if attachment.id in entries and "description" in entries[attachment.id]:
            attachment.description = entries[attachment.id]["description"]
    new: list[Attachment] = []
    for upload in body.uploads:
        entry = entries.get(upload.index, {})
        new.append(make(clean_name(entry.get("filename") or upload.filename), upload.data, entry.get("description")))
    return [*kept, *new]
