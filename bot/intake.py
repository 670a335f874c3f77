"""From what a member asked to a job in line: attachments are fetched and made safe, the request is checked and priced.

Nothing of a refused request stays: attachments are worked on in a scratch folder, and what was put into storage for a
request that then finds no place in line is taken out again.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from weakref import WeakValueDictionary

from bot.attachments import Fetcher
from bot.decoders import Decoders, scratch_folder
from bot.errors import BadAttachment, Gone, StorageError
from bot.files import Files
from bot.images import Picture, safe_picture
from bot.library import Library
from bot.model import (
    EDIT_SOURCE_BYTES,
    EDIT_SOURCE_SECONDS,
    AspectRatio,
    Operation,
    Request,
    Resolution,
    Size,
    SourceVideo,
    normalise_prompt,
)
from bot.storage import Storage
from bot.store.jobs import Jobs
from bot.store.records import Job, NewJob, Video
from bot.videos import VideoFacts, probe, trim

PICTURE_BYTES = 25 * 1000 * 1000
"""The largest picture that is fetched. Discord lets most members upload 10 MiB."""

CUT_SECONDS = 120.0
"""How long cutting and re-encoding a source may take."""

FIRST_FRAME_NOTE = "That picture moves; its first frame was used."


@dataclass(frozen=True, slots=True)
class Upload:
    """An attachment as Discord describes it. The name and the size are claims, not facts."""

    url: str
    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a member asked for, unchecked. `pictures` are references unless `first_frame`; `start` is in seconds.

    `source` is what to edit or extend; `again` is the job that a retry repeats with another prompt.
    """

    guild_id: int
    channel_id: int
    user_id: int
    upload_limit: int
    request_key: str
    operation: Operation
    prompt: str
    duration: int | None = None
    aspect_ratio: AspectRatio | None = None
    resolution: Resolution | None = None
    size: Size | None = None
    pictures: tuple[Upload, ...] = ()
    first_frame: bool = False
    source: Video | Upload | None = None
    start: float | None = None
    again: Job | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A job in line. `notes` are sentences that its requester should read; `duplicate`: it was in line before."""

    job: Job
    duplicate: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    request: Request
    new_files: dict[str, Path]
    old_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parent_id: str | None = None


class Intake:
    """Takes requests in. `prices` are US dollars per second; `scratch` is a folder on the storage's own disk."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        storage: Storage,
        files: Files,
        library: Library,
        fetcher: Fetcher,
        decoders: Decoders,
        prices: Mapping[Resolution, Decimal],
        scratch: Path,
    ) -> None:
        self._jobs = jobs
        self._storage = storage
        self._files = files
        self._library = library
        self._fetcher = fetcher
        self._decoders = decoders
        self._prices = prices
        self._scratch = scratch
        # Kept for as long as somebody waits or works.
        self._members: WeakValueDictionary[tuple[int, int], asyncio.Semaphore] = WeakValueDictionary()
        self._guilds: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, wish: Wish) -> Taken:
        """Put a wish in line.

        Raises:
            Refused: with a sentence for the member; nothing is kept.
            MediaError: an attachment could not be decoded in time.
            StoreError, StorageError: the bot's own trouble; nothing was accepted.
        """
        # Before anything is fetched: most mistakes are in the prompt.
        normalise_prompt(wish.prompt)
        try:
            async with self._turn(wish), self._prepared(wish) as prepared:
                return await self._accept(wish, prepared)
        except OSError as error:
            raise StorageError(f"the scratch folder: {error}") from error

    @asynccontextmanager
    async def _turn(self, wish: Wish) -> AsyncGenerator[None]:
        """Fetching and decoding are shared out as the queue is: one at a time for a member, two for a server."""
        if not wish.pictures and not isinstance(wish.source, Upload) and wish.start is None:
            yield
            return
        await self._jobs.check_room(wish.guild_id, wish.user_id)
        member = self._members.setdefault((wish.guild_id, wish.user_id), asyncio.Semaphore(1))
        guild = self._guilds.setdefault(wish.guild_id, asyncio.Semaphore(2))
        async with member, guild:
            yield

    @asynccontextmanager
    async def _prepared(self, wish: Wish) -> AsyncGenerator[_Prepared]:
        if wish.again is not None:
            yield await self._repeat(wish.again, wish)
        elif not wish.pictures and not isinstance(wish.source, Upload) and wish.start is None:
            yield await self._from_options(wish)
        else:
            async with scratch_folder(self._scratch) as folder:
                yield await (self._with_pictures(wish, folder) if wish.pictures else self._with_video(wish, folder))

    async def _accept(self, wish: Wish, prepared: _Prepared) -> Taken:
        keys = (*prepared.new_files, *prepared.old_files)
        new = NewJob(
            guild_id=wish.guild_id,
            channel_id=wish.channel_id,
            user_id=wish.user_id,
            request=prepared.request,
            request_key=wish.request_key,
            price=prepared.request.price(self._prices),
            upload_limit=wish.upload_limit,
            parent_id=prepared.parent_id,
            files=keys,
        )
        try:
            async with self._files.hold(keys):
                for key, path in prepared.new_files.items():
                    await self._storage.save(key, path)
                await self._check_kept(prepared.old_files)  # they could go until they were held
                accepted = await self._jobs.accept(new)
        except BaseException:
            await asyncio.shield(self._files.discard(keys))
            raise
        if accepted.duplicate:
            # The job that the first one made may be over, and its files gone.
            await self._files.discard(keys)
        return Taken(accepted.job, accepted.duplicate, prepared.notes)

    # --- without attachments

    async def _from_options(self, wish: Wish) -> _Prepared:
        if not isinstance(wish.source, Video):
            return _Prepared(_request(wish), {})
        known = await self._library.measured(wish.source)
        if not known.measured:
            raise Gone("That video cannot be read any more, so nothing can be made from it. Nothing was charged.")
        video = SourceVideo(
            key=known.key, seconds=known.seconds, width=known.width, height=known.height, size=known.size
        )
        return _Prepared(_request(wish, video=video), {}, parent_id=known.id)

    async def _repeat(self, job: Job, wish: Wish) -> _Prepared:
        request = replace(job.request, prompt=wish.prompt)
        needed = [key for key in (request.image, *request.reference_images) if key]
        if request.video is not None:
            needed.append(request.video.key)
        await self._check_kept(needed)
        # Not those that are written down for the repeated job: it may be over and have let go of them.
        shared = tuple(key for key in needed if not key.startswith("videos/"))
        return _Prepared(request, {}, shared, parent_id=job.parent_id)

    async def _check_kept(self, keys: Iterable[str]) -> None:
        for key in keys:
            if await self._storage.size(key) is None:
                raise Gone("The picture or video that this request used is deleted, so it cannot be repeated.")

    # --- with attachments

    async def _with_pictures(self, wish: Wish, folder: Path) -> _Prepared:
        # Checked first with names that stand for the pictures: a refusal must not cost their download.
        _with(wish, tuple(f"images/{place}.jpg" for place in range(len(wish.pictures))))
        # One after the other: ten decoders at once would starve everybody else's request.
        pictures = [
            await self._picture(upload, folder / f"upload-{place}", folder)
            for place, upload in enumerate(wish.pictures)
        ]
        keys = tuple(_picture_key(picture) for picture in pictures)
        request = _with(wish, keys)
        notes = (FIRST_FRAME_NOTE,) if any(picture.animated for picture in pictures) else ()
        return _Prepared(request, dict(zip(keys, (picture.path for picture in pictures), strict=True)), notes=notes)

    async def _picture(self, upload: Upload, path: Path, folder: Path) -> Picture:
        _check_claimed_size(upload, PICTURE_BYTES, "picture")
        await self._fetcher.fetch(upload.url, path, max_bytes=PICTURE_BYTES)
        return await safe_picture(self._decoders, path, folder)

    async def _with_video(self, wish: Wish, folder: Path) -> _Prepared:
        path = folder / "source"
        parent_id: str | None = None
        if isinstance(wish.source, Upload):
            _check_claimed_size(wish.source, EDIT_SOURCE_BYTES, "video")
            await self._fetcher.fetch(wish.source.url, path, max_bytes=EDIT_SOURCE_BYTES)
            facts = await self._decoders.run(probe, path)
        elif isinstance(wish.source, Video):
            parent_id = wish.source.id
            async with self._storage.local(wish.source.key) as kept:
                return await self._cut(wish, kept, await self._decoders.run(probe, kept), folder, parent_id)
        else:
            # The model's own sentence for a missing source.
            return await self._from_options(wish)
        return await self._cut(wish, path, facts, folder, parent_id)

    async def _cut(self, wish: Wish, path: Path, facts: VideoFacts, folder: Path, parent_id: str | None) -> _Prepared:
        start = wish.start or 0.0
        if wish.start is not None and not 0 <= start < facts.seconds:
            raise BadAttachment(f"That video is {facts.seconds:.1f} seconds long, so `start` must be below that.")
        wanted = min(facts.seconds - start, EDIT_SOURCE_SECONDS) if wish.start is not None else facts.seconds
        if wish.start is not None or not _is_mp4(facts):
            # Checked first at the length that it will have: a refusal must not cost a re-encoding.
            _request(wish, video=_source("videos/check.mp4", replace(facts, seconds=wanted)))
            cut = folder / "cut.mp4"
            await self._decoders.run(trim, path, cut, start, wanted, seconds=CUT_SECONDS)
            path, facts = cut, await self._decoders.run(probe, cut)
        key = f"sources/{await asyncio.to_thread(_sha256, path)}.mp4"
        return _Prepared(_request(wish, video=_source(key, facts)), {key: path}, parent_id=parent_id)


def _request(
    wish: Wish,
    *,
    image: str | None = None,
    reference_images: tuple[str, ...] = (),
    video: SourceVideo | None = None,
) -> Request:
    return Request(
        operation=wish.operation,
        prompt=wish.prompt,
        duration=wish.duration,
        aspect_ratio=wish.aspect_ratio,
        resolution=wish.resolution,
        size=wish.size,
        image=image,
        reference_images=reference_images,
        video=video,
    )


def _with(wish: Wish, keys: tuple[str, ...]) -> Request:
    return _request(wish, image=keys[0]) if wish.first_frame else _request(wish, reference_images=keys)


def _source(key: str, facts: VideoFacts) -> SourceVideo:
    return SourceVideo(key=key, seconds=facts.seconds, width=facts.width, height=facts.height, size=facts.size)


def _is_mp4(facts: VideoFacts) -> bool:
    # What the model is known to take; anything else is brought to it first.
    return facts.container == "mp4" and facts.video_codec == "h264"


def _picture_key(picture: Picture) -> str:
    return f"images/{picture.sha256}.{'png' if picture.mime == 'image/png' else 'jpg'}"


def _check_claimed_size(upload: Upload, limit: int, noun: str) -> None:
    # A claim, but an honest client saves itself the download.
    if upload.size == 0:
        raise BadAttachment(f"That {noun} is empty (0 bytes). Upload it again.")
    if upload.size > limit:
        raise BadAttachment(
            f"That {noun} is {upload.size / 1e6:.1f} MB; the most this bot takes is {limit / 1e6:.0f} MB."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
