"""What the endpoint refuses: the published schema of `input` and the sentences of the reference about each operation.

Pure: nothing is fetched here. Each refusal names its field. Where the reference is silent the stricter reading holds.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from sandbox.cloudflare.media import Operation

MAX_PROMPT = 8000
"""Characters. No cap is published; "too long" is an error, and the sandbox draws the line here."""

MAX_REFERENCES = 10
EDIT_MAX_SECONDS = 8.7
EXTEND_SECONDS = (2.0, 15.0)
EXTEND_ADDED = (2, 10)
MAX_METADATA = 5

SIZES = {"848x480": (848, 480), "1696x960": (1696, 960), "1280x720": (1280, 720), "1920x1080": (1920, 1080)}
_OPERATIONS = ("generate", "edit", "extend")
_RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3")
_RESOLUTIONS = ("480p", "720p")


class RefusedError(Exception):
    """A 400: `field` is the input's field (or the header) at fault. Not billed."""

    def __init__(self, field: str, message: str, code: int = 5006) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.code = code


@dataclass(frozen=True)
class Wanted:
    """An input that passed. `duration` in seconds is the part added for extend, and without meaning for edit."""

    operation: Operation
    prompt: str
    duration: int
    aspect_ratio: str | None
    resolution: str
    size: tuple[int, int] | None
    image: str | None
    video: str | None
    references: tuple[str, ...]
    upload_url: str | None


def check_input(value: Any) -> Wanted:
    """Schema first, then sense. Raises RefusedError."""
    fields = _object("input", value)
    for name, item in fields.items():
        if name not in _FIELDS:
            raise RefusedError(name, "additional property is not allowed")
        _FIELDS[name](name, item)
    return _sense(fields)


def check_metadata(header: str | None) -> dict[str, Any]:
    """`cf-aig-metadata`: a JSON object of at most 5 strings, numbers or booleans. Raises RefusedError."""
    if header is None:
        return {}
    try:
        value = json.loads(header)
    except ValueError as error:
        raise RefusedError("cf-aig-metadata", "it is not JSON") from error
    metadata = _object("cf-aig-metadata", value)
    if len(metadata) > MAX_METADATA:
        raise RefusedError("cf-aig-metadata", f"at most {MAX_METADATA} entries are kept")
    for name, item in metadata.items():
        if not isinstance(item, (str, int, float)):
            raise RefusedError("cf-aig-metadata", f"{name!r} must be a string, a number or a boolean")
    return metadata


def check_url(field: str, url: str, *, data: bool = True) -> None:
    """HTTPS, a base64 data URI where `data`, or plain HTTP to loopback, where the sandbox itself lives."""
    if url.startswith("data:") and data:
        decode_data_uri(field, url)
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise RefusedError(field, "it is not a URL") from error
    if not host or parts.scheme not in ("https", "http"):
        raise RefusedError(field, "an https URL is needed" + (" or a data URI" if data else ""))
    if parts.scheme == "http" and not _is_loopback(host):
        raise RefusedError(field, "plain http is refused: an https URL is needed")


def decode_data_uri(field: str, url: str) -> bytes:
    """The bytes of `data:<mime>;base64,…`. Raises RefusedError."""
    head, comma, payload = url.partition(",")
    mime = head.removeprefix("data:").removesuffix(";base64")
    if not comma or not head.endswith(";base64") or "/" not in mime:
        raise RefusedError(field, "a data URI must look like data:<mime>;base64,…")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(field, "the data URI's base64 cannot be decoded") from error


def check_edit_source(seconds: float) -> None:
    # Half a frame of tolerance: containers round their times.
    if seconds > EDIT_MAX_SECONDS + 0.02:
        raise RefusedError("video", f"{seconds:.2f} s is too long: an edit takes at most {EDIT_MAX_SECONDS} s")


def check_extend_source(seconds: float) -> None:
    shortest, longest = EXTEND_SECONDS
    if not shortest - 0.02 <= seconds <= longest + 0.02:
        raise RefusedError("video", f"{seconds:.2f} s: an extension takes a source of {shortest:g} to {longest:g} s")


def _sense(fields: dict[str, Any]) -> Wanted:
    operation = cast("Operation", fields.get("_operation", "generate"))
    prompt = _prompt(fields)
    if operation == "generate":
        _generate_fields(fields)
    else:
        _source_fields(operation, fields)
    if operation == "extend":
        _range("duration", fields.get("duration", 6), *EXTEND_ADDED)
    for name in ("image", "video"):
        if name in fields:
            check_url(f"{name}.url", fields[name]["url"])
    for number, item in enumerate(fields.get("reference_images", ())):
        check_url(f"reference_images.{number}.url", item["url"])
    if "output" in fields:
        check_url("output.upload_url", fields["output"]["upload_url"], data=False)
    return Wanted(
        operation=operation,
        prompt=prompt,
        duration=fields.get("duration", 6 if operation == "extend" else 8),
        aspect_ratio=fields.get("aspect_ratio"),
        resolution=fields.get("resolution", "480p"),
        size=SIZES[fields["size"]] if "size" in fields else None,
        image=fields["image"]["url"] if "image" in fields else None,
        video=fields["video"]["url"] if "video" in fields else None,
        references=tuple(item["url"] for item in fields.get("reference_images", ())),
        upload_url=fields["output"]["upload_url"] if "output" in fields else None,
    )


def _prompt(fields: dict[str, Any]) -> str:
    prompt = fields.get("prompt", "")
    if not prompt.strip():
        raise RefusedError("prompt", "it is empty")
    if len(prompt) > MAX_PROMPT:
        raise RefusedError("prompt", f"it is too long: {len(prompt)} characters of at most {MAX_PROMPT}")
    return prompt


def _generate_fields(fields: dict[str, Any]) -> None:
    if "video" in fields:
        raise RefusedError("video", "generate takes no source video")
    if "image" in fields and fields.get("reference_images"):
        raise RefusedError("image", "image and reference_images cannot be used together")
    if "image" in fields and "aspect_ratio" in fields:
        raise RefusedError("aspect_ratio", "with an image the output inherits its ratio: leave it out")
    if fields.get("reference_images") and fields.get("size") in ("1696x960", "1920x1080"):
        raise RefusedError("size", "with reference_images at most 720p is made")


def _source_fields(operation: str, fields: dict[str, Any]) -> None:
    if "video" not in fields:
        raise RefusedError("video", f"{operation} needs a source video")
    for name in ("image", "reference_images"):
        if name in fields:
            raise RefusedError(name, f"{operation} takes a video only")


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(name, "an object is needed")
    return cast("dict[str, Any]", value)


def _string(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RefusedError(name, "a string is needed")


def _one_of(*allowed: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        _string(name, value)
        if value not in allowed:
            raise RefusedError(name, f"it must be one of {', '.join(allowed)}")

    return check


def _duration(name: str, value: Any) -> None:
    # True is an int in Python and no integer in JSON.
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(name, "an integer is needed")
    _range(name, value, 1, 15)


def _range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise RefusedError(name, f"it must be from {least} to {most}")


def _holder(key: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        holder = _object(name, value)
        for inner in holder:
            if inner != key:
                raise RefusedError(f"{name}.{inner}", "additional property is not allowed")
        if key not in holder:
            raise RefusedError(f"{name}.{key}", "it is required")
        _string(f"{name}.{key}", holder[key])

    return check


def _references(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise RefusedError(name, "an array is needed")
    if len(value) > MAX_REFERENCES:
        raise RefusedError(name, f"at most {MAX_REFERENCES} references are taken")
    for number, item in enumerate(value):
        _holder("url")(f"{name}.{number}", item)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_FIELDS: dict[str, Callable[[str, Any], None]] = {
    "_operation": _one_of(*_OPERATIONS),
    "prompt": _string,
    "duration": _duration,
    "aspect_ratio": _one_of(*_RATIOS),
    "resolution": _one_of(*_RESOLUTIONS),
    "size": _one_of(*SIZES),
    "image": _holder("url"),
    "video": _holder("url"),
    "reference_images": _references,
    "output": _holder("upload_url"),
    "user": _string,
}
