"""What Discord says of an uploaded file: a content type from its name, and width and height from its bytes."""

import re
import struct

# Discord names the type by the file's extension, whatever the bytes are.
TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
    "heif": "image/heif",
    "bmp": "image/bmp",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/x-wav",
    "txt": "text/plain; charset=utf-8",
    "toml": "application/toml",
    "json": "application/json; charset=utf-8",
    "pdf": "application/pdf",
    "zip": "application/zip",
}
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def content_type(filename: str) -> str | None:
    """The media type that Discord gives a file of this name, None where it gives none."""
    return TYPES.get(filename.rpartition(".")[2].lower()) if "." in filename else None


def clean_name(filename: str) -> str:
    """The name Discord keeps: letters, digits, `_`, `-` and `.`; a space becomes `_`."""
    name = re.sub(r"[^A-Za-z0-9_.\-]", "", filename.replace(" ", "_")).lstrip(".")
    return name or "unknown"


def dimensions(data: bytes, kind: str | None) -> tuple[int, int] | None:
    """Width and height in pixels of a picture or mp4, None if the bytes are not what the name promised."""
    if kind is None or not kind.startswith(("image/", "video/")):
        return None
    try:
        return _png(data) or _gif(data) or _jpeg(data) or _webp(data) or _mp4(data)
    except (struct.error, IndexError):
        return None


def _png(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    return struct.unpack(">II", data[16:24])


def _gif(data: bytes) -> tuple[int, int] | None:
    return struct.unpack("<HH", data[6:10]) if data[:6] in {b"GIF87a", b"GIF89a"} else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        if data[at + 1] in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _mp4(data: bytes) -> tuple[int, int] | None:
    """The largest track of a file of the MP4 family: `moov/trak/tkhd` ends with width and height in 16.16."""
    if data[4:8] != b"ftyp":
        return None
    best: tuple[int, int] | None = None
    for moov in _boxes(data, b"moov"):
        for trak in _boxes(moov, b"trak"):
            for header in _boxes(trak, b"tkhd"):
                width, height = (value >> 16 for value in struct.unpack(">II", header[-8:]))
                if width and (best is None or width * height > best[0] * best[1]):
                    best = (width, height)
    return best


def _boxes(data: bytes, name: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", data[at + 8 : at + 16])[0], 16
        if size == 0:
            size = len(data) - at
        if size < head:
            break
        if kind == name:
            found.append(data[at + head : at + size])
        at += size
    return found
