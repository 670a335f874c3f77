"""Opening a stranger's video file: told by content, two demuxers only, capped, and each fault of it one sentence.

FFmpeg's playlist formats, which open further files and addresses, never see a stranger's bytes: only MP4/MOV and
WebM/Matroska are opened. The functions of bot/videos.py stand on this; all of it belongs in a worker.
"""

from __future__ import annotations  # the annotations alone would load FFmpeg in the bot

import errno
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bot.decoders import lazy
from bot.errors import BadAttachment, CinecordError, StorageError
from bot.images import ISO_BOXES, is_picture, sniff

if TYPE_CHECKING:
    import av
    import av.error
    import av.stream
    from av.container.input import InputContainer
else:
    av = lazy("av")

PIXEL_CAP = 4096 * 2304
SECONDS_CAP = 600.0
THREADS = 2

WANTED = "Upload an MP4, MOV or WebM video."
EMPTY = f"That file is empty. {WANTED}"
PICTURE = f"That is a picture, not a video. {WANTED}"
OTHER = f"That file is not a video that can be read. {WANTED}"
SOUND_ONLY = f"That file has sound only, and no video. {WANTED}"
NO_LENGTH = f"That video has no length. {WANTED}"
UNKNOWN_CODEC = "That video is in a format that cannot be read. Export it as MP4 (H.264) and upload that."
DAMAGED = "That video is incomplete or damaged. Export it again as MP4 and upload that."


@dataclass(frozen=True, slots=True)
class Source:
    container: InputContainer
    video: av.VideoStream
    audio: av.AudioStream | None

    @property
    def start(self) -> float:
        """Seconds on the file's own clock at which it begins."""
        return (self.container.start_time or 0) / av.time_base


@contextmanager
def opened(path: Path) -> Generator[Source]:
    """The file's video and sound, ready to decode; every fault of the file leaves as BadAttachment."""
    demuxer = _demuxer(path)
    try:
        with av.open(str(path), "r", format=demuxer, metadata_errors="replace") as container:
            yield _tracks(container)
    except (CinecordError, MemoryError):
        raise
    except (av.error.FFmpegError, ValueError, ArithmeticError, LookupError, TypeError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise StorageError(repr(error)) from error
        raise BadAttachment(DAMAGED, cause=repr(error)) from error


def _demuxer(path: Path) -> str:
    if path.stat().st_size == 0:
        raise BadAttachment(EMPTY)
    kind = sniff(path)
    if is_picture(kind):
        raise BadAttachment(PICTURE)
    if kind not in {"video", "sound"}:
        raise BadAttachment(OTHER, cause=f"sniffed: {kind}")
    with path.open("rb") as file:
        head = file.read(8)
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if head[4:] not in ISO_BOXES:
        raise BadAttachment(SOUND_ONLY if kind == "sound" else OTHER, cause=f"starts with {head!r}")
    return "mov"


def _tracks(container: InputContainer) -> Source:
    covers = av.stream.Disposition.attached_pic
    video = next((stream for stream in container.streams.video if not stream.disposition & covers), None)
    if video is None:
        raise BadAttachment(SOUND_ONLY)
    if cast("object", video.codec_context) is None:  # PyAV, against its stubs: FFmpeg has no decoder for it
        raise BadAttachment(UNKNOWN_CODEC, cause="no decoder")
    width, height = video.codec_context.width, video.codec_context.height
    if width * height > PIXEL_CAP:
        raise BadAttachment(f"That video is {width:,} × {height:,} pixels; the most is 4096 × 2304. Make it smaller.")
    video.thread_type = "AUTO"  # type: ignore[assignment]
    video.thread_count = THREADS
    sounds = (track for track in container.streams.audio if cast("object", track.codec_context) is not None)
    return Source(container, video, next(sounds, None))


STATED_SLACK = 0.5
"""Seconds by which a file's packets may pass what it states: sound that ends a little later, edit lists."""


def length_of(source: Source, path: Path) -> float:
    """The longer of what the file states and where its last packet ends: either may be missing, or a lie.

    The price and the model's limits depend on it, and a header is easily written over.
    """
    seconds = (source.container.duration or 0) / av.time_base
    if seconds <= SECONDS_CAP:
        with av.open(str(path), "r", format=_demuxer(path), metadata_errors="replace") as container:
            ends = (
                float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)
                for packet in container.demux(container.streams[source.video.index])
                if packet.pts is not None
            )
            measured = max(ends, default=0.0) - source.start
        if seconds <= 0 or measured > seconds + STATED_SLACK:
            seconds = measured
    if seconds <= 0:
        raise BadAttachment(NO_LENGTH)
    if seconds > SECONDS_CAP:
        raise BadAttachment(f"That video is {seconds:,.0f} seconds long; the most is {SECONDS_CAP:.0f}. Cut it first.")
    return seconds


@contextmanager
def finished(out: Path) -> Generator[Path]:
    """A path beside `out` that becomes `out` at the end, or vanishes if the end is not reached."""
    part = out.with_name(f".{out.name}.part")
    try:
        yield part
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
