"""The pictures and videos that an input names: really fetched, really decoded, refused by field when that fails."""

from __future__ import annotations

import asyncio
import io
import uuid
from pathlib import Path

import aiohttp
from PIL import Image, ImageOps
from yarl import URL

from sandbox.cloudflare import checks, media
from sandbox.cloudflare.checks import RefusedError, Wanted

MAX_BYTES = 50 * 1024 * 1024
"""The reference's cap for an edit's source; the sandbox takes it for every source."""

MAX_PIXELS = 40_000_000
_PICTURE_FORMATS = ("JPEG", "PNG", "WEBP")


async def order_for(wanted: Wanted, session: aiohttp.ClientSession, folder: Path) -> media.Order:
    """The clip to render, with its sources fetched into memory or `folder`. Raises RefusedError."""
    if wanted.operation == "generate":
        return await _generate(wanted, session)
    source = await _video(wanted.video or "", session, folder)
    width, height = media.size_for_source(source.width, source.height)
    if wanted.operation == "edit":
        checks.check_edit_source(source.seconds)
        frames = media.frame_count(source.seconds)
    else:
        checks.check_extend_source(source.seconds)
        frames = media.frame_count(source.seconds) + media.frame_count(wanted.duration)
    return media.Order(wanted.operation, wanted.prompt, width, height, frames, source=source)


def billed_seconds(wanted: Wanted, order: media.Order) -> float:
    """Seconds that cost money: the source's for edit, the added ones for extend."""
    return order.frames / media.FPS if wanted.operation == "edit" else float(wanted.duration)


async def _generate(wanted: Wanted, session: aiohttp.ClientSession) -> media.Order:
    image = await _picture("image.url", wanted.image, session) if wanted.image else None
    references = [
        await _picture(f"reference_images.{number}.url", url, session) for number, url in enumerate(wanted.references)
    ]
    if wanted.size:
        width, height = wanted.size
    elif image is not None:
        width, height = media.size_for_image(image.width, image.height, wanted.resolution)
    else:
        width, height = media.size_for_ratio(wanted.aspect_ratio or "16:9", wanted.resolution)
    frames = media.frame_count(wanted.duration)
    return media.Order("generate", wanted.prompt, width, height, frames, image, tuple(references))


async def _picture(field: str, url: str, session: aiohttp.ClientSession) -> Image.Image:
    content = await _content(field, url, session)
    try:
        return await asyncio.to_thread(_decode_picture, content)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RefusedError(field, "it is not a picture that can be decoded") from error


def _decode_picture(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content), formats=_PICTURE_FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError("too many pixels")
        return ImageOps.exif_transpose(picture).convert("RGB")


async def _video(url: str, session: aiohttp.ClientSession, folder: Path) -> media.Source:
    content = await _content("video.url", url, session)
    path = folder / f"source-{uuid.uuid4().hex}"
    await asyncio.to_thread(path.write_bytes, content)
    try:
        return await asyncio.to_thread(media.probe, path)
    except media.UndecodableError as error:
        await asyncio.to_thread(path.unlink)
        raise RefusedError("video.url", str(error)) from error


async def _content(field: str, url: str, session: aiohttp.ClientSession) -> bytes:
    if url.startswith("data:"):
        content = checks.decode_data_uri(field, url)
    else:
        content = await _download(field, url, session)
    if len(content) > MAX_BYTES:
        raise RefusedError(field, "it is larger than 50 MB")
    if not content:
        raise RefusedError(field, "it is empty")
    return content


async def _download(field: str, url: str, session: aiohttp.ClientSession) -> bytes:
    content = bytearray()
    try:
        async with session.get(URL(url, encoded=True), timeout=aiohttp.ClientTimeout(total=30)) as response:
            if response.status != 200:
                raise RefusedError(field, f"it could not be fetched: HTTP {response.status}")
            async for chunk in response.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > MAX_BYTES:
                    break
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RefusedError(field, "it could not be fetched") from error
    return bytes(content)
