"""Strangers' pictures made safe: told by content, capped, upright, without metadata, in sRGB, as JPEG or PNG.

`make_safe` belongs in a worker of bot/decoders.py; `safe_picture` is the way there from the event loop. Only the
formats of `FORMATS` are ever opened, so Pillow's rarer parsers (EPS, PSD, …) never see a stranger's bytes.
"""

from __future__ import annotations  # the annotations alone would load Pillow in the bot

import codecs
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, cast

from bot.decoders import Decoders, lazy, scratch_folder
from bot.errors import BadAttachment

if TYPE_CHECKING:
    import pillow_heif
    from PIL import Image, ImageCms
else:
    pillow_heif = lazy("pillow_heif")
    Image, ImageCms = lazy("PIL.Image"), lazy("PIL.ImageCms")

Kind = Literal["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF"]
Other = Literal["video", "sound", "svg", "pdf", "text", "jxl", "unknown"]
FORMATS: tuple[Kind, ...] = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF")
MOVING: tuple[Kind, ...] = ("PNG", "GIF", "WEBP", "AVIF")  # in the others, more frames are pages or thumbnails

PIXEL_CAP = 50_000_000
LONG_SIDE = 2048
SHORT_SIDE = 8
SECONDS = 30.0

WANTED = "Upload a JPEG, PNG, WebP, GIF, HEIC or AVIF picture."
DAMAGED = "That picture is incomplete or damaged. Save it again as JPEG or PNG, then upload it again."
EMPTY = f"That file is empty. {WANTED}"
NOT_A_PICTURE: dict[Other, str] = {
    "video": f"That is a video, not a picture. {WANTED}",
    "sound": f"That is a sound file, not a picture. {WANTED}",
    "svg": "SVG drawings cannot be used. Export it as PNG and upload that.",
    "pdf": "PDF files cannot be used. Export the page as PNG and upload that.",
    "text": f"That is a text file, not a picture. {WANTED}",
    "jxl": "JPEG XL pictures cannot be read yet. Save it as JPEG or PNG and upload that.",
    "unknown": f"That file is not a picture that can be read. {WANTED}",
}

_MAGIC: tuple[tuple[bytes, Kind | Other], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cJXL ", "jxl"),
    (b"%PDF", "pdf"),
    (b"\x1aE\xdf\xa3", "video"),  # EBML: WebM and Matroska
    (b"OggS", "sound"),
    (b"FLV\x01", "video"),
    (b"\x00\x00\x01\xba", "video"),  # MPEG program stream
    (b"ID3", "sound"),
    (b"fLaC", "sound"),
)
ISO_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}  # old QuickTime files have no "ftyp"
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_UPRIGHT = {  # EXIF's orientation: the turn that undoes it (Exif 3.0, tag 274)
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A safe picture on disk, named by its SHA-256. `animated`: only the first frame of the original was taken."""

    sha256: str
    mime: Literal["image/jpeg", "image/png"]
    width: int
    height: int
    size: int
    path: Path
    animated: bool


async def safe_picture(decoders: Decoders, source: Path, folder: Path) -> Picture:
    """Make `source` safe in a worker and keep the result in `folder`; on failure nothing is left there.

    Raises BadAttachment (not a usable picture) or MediaError (over the limits of time or memory).
    """
    async with scratch_folder(folder) as scratch:
        made = await decoders.run(make_safe, source, scratch, seconds=SECONDS)
        kept = replace(made, path=folder / made.sha256)
        made.path.replace(kept.path)  # one rename inside a folder: nothing to wait for
    return kept


def sniff(source: Path) -> Kind | Other:
    """What the file's first bytes say it is, whatever its name."""
    with source.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "video", b"WAVE": "sound"}.get(head[8:12], "unknown")  # type: ignore[return-value]
    if head[4:8] == b"ftyp":
        return _brand(head)
    if head[4:8] in ISO_BOXES:
        return "video"
    return _text(head)


def is_picture(kind: Kind | Other) -> TypeGuard[Kind]:
    """Whether `sniff` saw a picture that `make_safe` reads."""
    return kind in FORMATS


def _brand(head: bytes) -> Kind | Other:
    """ISO base media files differ by their brands: the major one, then the compatible ones."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in _HEIF_BRANDS | {b"avif", b"avis"}:
        return "AVIF" if {b"avif", b"avis"} & set(brands) else "HEIF"
    return "sound" if brands[0] == b"M4A " else "video"


def _text(head: bytes) -> Other:
    if b"<svg" in head.lower():
        return "svg"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut
    except UnicodeDecodeError:
        return "unknown"
    return "text" if text and "\x00" not in text else "unknown"


def make_safe(source: Path, folder: Path) -> Picture:
    """Write a safe copy of `source` into `folder` under its SHA-256. For a worker: it may hang, crash, or eat memory.

    Raises BadAttachment with a sentence for the member; nothing is left in `folder` then.
    """
    if source.stat().st_size == 0:
        raise BadAttachment(EMPTY)
    kind = sniff(source)
    if not is_picture(kind):
        raise BadAttachment(NOT_A_PICTURE[cast("Other", kind)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is dropped anyway
            picture, animated = _decode(source, kind)
    except (BadAttachment, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - on mangled bytes, decoders raise errors of any type
        raise BadAttachment(DAMAGED, cause=f"{kind}: {error!r}") from None
    return _write(picture, folder, animated=animated)


def _decode(source: Path, kind: Kind) -> tuple[Image.Image, bool]:
    """The picture's pixels as RGB or RGBA in sRGB, upright and small enough."""
    if kind == "HEIF":
        pillow_heif.register_heif_opener()  # type: ignore[no-untyped-call]
    Image.MAX_IMAGE_PIXELS = None  # `_check_size` knows the sentence
    with Image.open(source, formats=(kind,)) as image:
        _check_size(*image.size)
        animated = kind in MOVING and getattr(image, "is_animated", False)
        if kind == "JPEG":  # decode at a half, quarter or eighth where that is enough (HEIF would take a thumbnail)
            image.draft(None, (LONG_SIDE, LONG_SIDE))
        with _pixel_cap():
            image.load()
        turn = _UPRIGHT.get(_orientation(image))
        profile = image.info.get("icc_profile")
        pixels = _eight_bits(image)
    pixels.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    pixels = _srgb(pixels, profile)
    if turn is not None:
        pixels = pixels.transpose(Image.Transpose[turn])
    return pixels, animated


def _check_size(width: int, height: int) -> None:
    if width * height > PIXEL_CAP:
        raise BadAttachment(
            f"That picture is {width:,} × {height:,} pixels; the most is {PIXEL_CAP // 1_000_000} million in all. "
            "Make it smaller and upload it again."
        )
    shrunk = min(width, height) * min(1.0, LONG_SIDE / max(width, height, 1))
    if shrunk < SHORT_SIDE:
        fault = "too small" if min(width, height) < SHORT_SIDE else "too narrow"
        raise BadAttachment(f"That picture is {width:,} × {height:,} pixels, which is {fault}. Upload a larger one.")


@contextmanager
def _pixel_cap() -> Generator[None]:
    """Frames may turn out larger than the header said: Pillow checks again while it loads."""
    Image.MAX_IMAGE_PIXELS = PIXEL_CAP
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(274, 1))
    except Exception:  # noqa: BLE001 - mangled EXIF makes Pillow raise errors of any type; the picture is still good
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as L, RGB, RGBA or CMYK (the modes that colour profiles speak of)."""
    if image.mode.startswith("I;16"):
        return _linear(image.convert("I"), 1 / 257, 0.0)
    if image.mode in {"I", "F"}:
        low, high = _extrema(image)
        scale = 255 / ((high - low) or 1)
        return _linear(image.convert("F"), scale, -low * scale)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.copy() if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _linear(image: Image.Image, scale: float, offset: float) -> Image.Image:
    def line(value: Any) -> Any:  # Pillow hands over an expression, not a number
        return value * scale + offset

    point = cast("Callable[[Any], Image.Image]", image.point)  # type: ignore[reportUnknownMemberType]
    return point(line).convert("L")


def _extrema(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise BadAttachment(DAMAGED, cause="several bands where one is due")
    return low, high


def _srgb(pixels: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, or RGBA where something shows through, with the embedded profile's colours brought to sRGB."""
    wanted = "RGBA" if pixels.mode == "RGBA" else "RGB"
    if profile:
        try:
            embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb = cast("ImageCms.ImageCmsProfile", ImageCms.createProfile("sRGB"))  # type: ignore[reportUnknownMemberType]
            converted = ImageCms.profileToProfile(pixels, embedded, srgb, outputMode=wanted)
            pixels = converted or pixels
        except (ImageCms.PyCMSError, OSError, ValueError):  # broken, or for another colour space: without it, then
            pass
    pixels = pixels.convert(wanted)
    if wanted == "RGBA" and pixels.getchannel("A").getextrema() == (255, 255):
        pixels = pixels.convert("RGB")
    return pixels


def _write(pixels: Image.Image, folder: Path, *, animated: bool) -> Picture:
    pixels.info.clear()  # what the savers would carry over: comments, profile, XMP, EXIF
    buffer = BytesIO()
    if pixels.mode == "RGBA":
        mime = "image/png"
        pixels.save(buffer, "PNG", compress_level=6)
    else:
        mime = "image/jpeg"
        pixels.save(buffer, "JPEG", quality=92, subsampling=0)
    data = buffer.getbuffer()
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / sha256
    _write_atomically(path, data)
    return Picture(sha256, mime, pixels.width, pixels.height, len(data), path, animated)


def _write_atomically(path: Path, data: memoryview) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".making-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
