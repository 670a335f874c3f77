"""From a wish to a job in line: every kind of wish, and what is left of those that are refused (nothing)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.config import BudgetSettings, QueueSettings, Settings
from bot.errors import BadAttachment, Gone, InvalidRequest, LineFull, OverBudget, Refused, StorageError
from bot.intake import FIRST_FRAME_NOTE, PICTURE_BYTES, Upload, Wish
from bot.model import EDIT_SOURCE_BYTES, Operation, Resolution
from bot.services import Services
from bot.store.records import State, Video
from tests.bot.parts import Cdn, MakeSettings, at_cdn, clip, files_in, moving_gif, opened, png, stored_rows, until


@dataclass
class Desk:
    services: Services
    cdn: Cdn
    number: int = 0

    @property
    def settings(self) -> Settings:
        return self.services.settings

    def upload(self, content: bytes, name: str = "picture.png", size: int | None = None) -> Upload:
        self.number += 1
        url = self.cdn.put(f"attachments/{self.number}/{name}", content)
        return Upload(url, name, len(content) if size is None else size)

    def wish(self, **given: Any) -> Wish:
        self.number += 1
        values: dict[str, Any] = {
            "guild_id": 1, "channel_id": 2, "user_id": 3, "upload_limit": 10 << 20,
            "request_key": f"key-{self.number}", "operation": Operation.GENERATE, "prompt": "a fox",
        }  # fmt: skip
        return Wish(**(values | given))

    async def library_video(self, content: bytes, seconds: float) -> Video:
        """A posted video of the guild, with its bytes in storage."""
        storage: Any = self.services.storage
        job = (await self.services.intake.take(self.wish(prompt="parent"))).job
        assert await self.services.jobs.claim(room=1)
        path = await storage.new_temporary()
        path.write_bytes(content)
        await storage.save(job.video_key, path)
        rendered = await self.services.jobs.rendered(job.id, size=len(content))
        assert rendered is not None
        await self.services.videos.measure(job.id, seconds=seconds, width=64, height=48, size=len(content))
        await self.services.jobs.posted(job.id, channel_id=2, message_id=9)
        video = await self.services.videos.get(job.id, guild_id=1)
        assert video is not None
        return video

    def kept(self) -> list[str]:
        return files_in(self.settings.storage.path)

    def left(self) -> tuple[list[str], list[Any], list[Any]]:
        """What a refused request must not leave: files (half-made ones too), jobs, money."""
        jobs = stored_rows(self.settings, "SELECT id FROM jobs UNION SELECT job_id FROM job_files")
        return self.kept(), jobs, stored_rows(self.settings, "SELECT amount FROM spending WHERE amount > 0")


NOTHING: tuple[list[str], list[Any], list[Any]] = ([], [], [])
OpenDesk = Callable[..., Any]


@pytest.fixture
async def desk(make_settings: MakeSettings, cdn: Cdn) -> AsyncIterator[Desk]:
    async with opened(make_settings(discord=at_cdn(cdn))) as services:
        yield Desk(services, cdn)
        assert list((services.settings.storage.path / "tmp").iterdir()) == [], "the scratch folder is empty"


# --- what is taken


async def test_text_alone(desk: Desk) -> None:
    taken = await desk.services.intake.take(desk.wish(prompt="  a red fox ", duration=3, resolution=Resolution.P720))
    job = taken.job
    assert (job.state, job.request.prompt, job.request.duration) == (State.QUEUED, "a red fox", 3)
    assert (job.price, taken.notes, taken.duplicate) == (3 * 140_000, (), False)
    assert (job.guild_id, job.channel_id, job.user_id, job.upload_limit) == (1, 2, 3, 10 << 20)
    assert desk.cdn.asked == []


async def test_a_first_picture_is_made_safe_and_kept_by_its_content(desk: Desk) -> None:
    taken = await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),), first_frame=True))
    (key,) = desk.kept()
    assert key.startswith("images/")
    assert taken.job.request.image == key
    assert taken.job.request.reference_images == ()
    assert await desk.services.jobs.files(taken.job.id) == [key]
    with Image.open(desk.settings.storage.path / key) as picture:
        assert picture.size == (64, 48)


async def test_references_keep_their_order_and_equal_ones_are_kept_once(desk: Desk) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (255, 0, 0)]
    uploads = tuple(desk.upload(png(colour)) for colour in colours)
    job = (await desk.services.intake.take(desk.wish(pictures=uploads))).job
    first, second, third = job.request.reference_images
    assert first == third != second
    assert sorted(await desk.services.jobs.files(job.id)) == desk.kept() == sorted({first, second})
    assert job.request.image is None


async def test_a_moving_picture_gives_its_first_frame_and_says_so(desk: Desk) -> None:
    taken = await desk.services.intake.take(desk.wish(pictures=(desk.upload(moving_gif()),), first_frame=True))
    assert taken.notes == (FIRST_FRAME_NOTE,)
    with Image.open(desk.settings.storage.path / (taken.job.request.image or "")) as picture:
        assert picture.convert("RGB").getpixel((16, 16))[0] > 200  # type: ignore[index]


async def test_a_transparent_picture_stays_png(desk: Desk, tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (255, 0, 0, 100)).save(tmp_path / "a.png")
    upload = desk.upload((tmp_path / "a.png").read_bytes())
    job = (await desk.services.intake.take(desk.wish(pictures=(upload,), first_frame=True))).job
    assert (job.request.image or "").endswith(".png")


@pytest.mark.parametrize(("operation", "price"), [(Operation.EXTEND, 6 * 80_000), (Operation.EDIT, 2 * 80_000)])
async def test_a_video_of_the_library(desk: Desk, tmp_path: Path, operation: Operation, price: int) -> None:
    video = await desk.library_video(clip(tmp_path), 2.0)
    job = (await desk.services.intake.take(desk.wish(operation=operation, source=video))).job
    assert job.request.video is not None
    assert (job.request.video.key, job.parent_id, job.price) == (video.key, video.id, price)
    assert await desk.services.jobs.files(job.id) == [], "the library's files are the library's"


async def test_a_part_of_a_video_of_the_library(desk: Desk, tmp_path: Path) -> None:
    video = await desk.library_video(clip(tmp_path, 10.0), 10.0)
    job = (await desk.services.intake.take(desk.wish(operation=Operation.EDIT, source=video, start=2.5))).job
    source = job.request.video
    assert source is not None
    assert source.key.startswith("sources/")
    assert source.seconds == pytest.approx(7.5, abs=0.2)
    assert job.parent_id == video.id
    assert await desk.services.jobs.files(job.id) == [source.key]
    assert desk.kept() == sorted([source.key, video.key]), "the original stays"


async def test_an_uploaded_video(desk: Desk, tmp_path: Path) -> None:
    upload = desk.upload(clip(tmp_path), "v.mp4")
    job = (await desk.services.intake.take(desk.wish(operation=Operation.EXTEND, source=upload))).job
    assert job.request.video is not None
    assert [job.request.video.key] == desk.kept() == await desk.services.jobs.files(job.id)
    assert job.parent_id is None
    assert (desk.settings.storage.path / job.request.video.key).read_bytes() == clip(tmp_path), "as it was uploaded"


async def test_an_uploaded_video_is_cut_at_its_start(desk: Desk, tmp_path: Path) -> None:
    upload = desk.upload(clip(tmp_path, 10.0), "v.mp4")
    job = (await desk.services.intake.take(desk.wish(operation=Operation.EDIT, source=upload, start=0))).job
    assert job.request.video is not None
    assert 8 < job.request.video.seconds <= 8.7


async def test_another_format_is_brought_to_mp4(desk: Desk, tmp_path: Path) -> None:
    upload = desk.upload(clip(tmp_path, 2.0, "webm"), "v.webm")
    job = (await desk.services.intake.take(desk.wish(operation=Operation.EDIT, source=upload))).job
    assert job.request.video is not None
    assert (desk.settings.storage.path / job.request.video.key).read_bytes()[4:8] == b"ftyp"


# --- once more


async def test_a_retry_uses_the_old_pictures_with_a_new_prompt(desk: Desk) -> None:
    old = (await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),), first_frame=True, duration=2))).job
    asked = len(desk.cdn.asked)
    new = (await desk.services.intake.take(desk.wish(prompt="a hare", again=old))).job
    assert (new.request.prompt, new.request.duration) == ("a hare", 2)
    assert new.request.image == old.request.image
    assert len(desk.cdn.asked) == asked
    await desk.services.files.release(old.id)
    assert len(desk.kept()) == 1, "the retry needs it"
    await desk.services.files.release(new.id)
    assert desk.kept() == []


async def test_a_retry_of_a_job_that_let_go_holds_what_another_still_has(desk: Desk) -> None:
    first = (await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),)))).job
    other = (await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),)))).job
    await desk.services.files.release(first.id)
    again = (await desk.services.intake.take(desk.wish(again=first))).job
    await desk.services.files.release(other.id)
    assert desk.kept() == list(again.request.reference_images)


async def test_a_retry_of_an_edit_keeps_its_parent_and_leaves_the_library_its_file(desk: Desk, tmp_path: Path) -> None:
    video = await desk.library_video(clip(tmp_path), 2.0)
    old = (await desk.services.intake.take(desk.wish(operation=Operation.EDIT, source=video))).job
    new = (await desk.services.intake.take(desk.wish(operation=Operation.EDIT, again=old))).job
    assert (new.parent_id, new.request.video) == (video.id, old.request.video)
    await desk.services.files.release(old.id)
    await desk.services.files.release(new.id)
    assert desk.kept() == [video.key]


async def test_a_retry_whose_pictures_are_gone_is_refused(desk: Desk) -> None:
    old = (await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),)))).job
    await desk.services.jobs.cancel(old.id)
    await desk.services.files.release(old.id)
    with pytest.raises(Gone, match="deleted"):
        await desk.services.intake.take(desk.wish(again=old))
    assert desk.left() == ([], [old.id], [])


async def test_a_picture_that_goes_between_the_look_and_the_hold_is_noticed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),)))).job
    await desk.services.jobs.cancel(old.id)
    real = desk.services.intake._repeat

    async def repeat(*given: Any) -> Any:
        prepared = await real(*given)
        await desk.services.files.release(old.id)
        return prepared

    monkeypatch.setattr(desk.services.intake, "_repeat", repeat)
    with pytest.raises(Gone):
        await desk.services.intake.take(desk.wish(again=old))
    assert desk.left() == ([], [old.id], [])


# --- what is refused leaves nothing


async def test_a_bad_prompt_is_refused_before_anything_is_fetched(desk: Desk) -> None:
    for prompt in ("", " \n ", "x" * 6001, "\u0301" * 4_000_000):
        with pytest.raises(InvalidRequest):
            await desk.services.intake.take(desk.wish(prompt=prompt, pictures=(desk.upload(png()),)))
    assert desk.cdn.asked == []
    assert desk.left() == NOTHING


def bad_wishes(desk: Desk, tmp_path: Path) -> dict[str, tuple[Wish, str]]:
    picture, video = desk.upload(png()), desk.upload(clip(tmp_path), "v.mp4")
    edit, extend = Operation.EDIT, Operation.EXTEND
    elsewhere = Upload("https://example.org/a.png", "a.png", 5)
    return {
        "empty": (desk.wish(pictures=(desk.upload(b""),)), "empty"),
        "empty, though it says otherwise": (desk.wish(pictures=(desk.upload(b"", size=9),)), "empty"),
        "large claim": (desk.wish(pictures=(desk.upload(png(), size=30 << 20),)), "31.5 MB"),
        "text": (desk.wish(pictures=(desk.upload(b"hello\n" * 50, "a.png"),)), "text file"),
        "svg": (desk.wish(pictures=(desk.upload(b"<svg xmlns='x'></svg>"),)), "SVG"),
        "cut": (desk.wish(pictures=(desk.upload(png(size=(300, 300))[:200]),)), "damaged"),
        "video for a picture": (desk.wish(pictures=(video,)), "video, not a picture"),
        "second is bad": (desk.wish(pictures=(picture, desk.upload(b"no"))), "text file"),
        "elsewhere": (desk.wish(pictures=(elsewhere,)), "uploaded to Discord"),
        "expired": (desk.wish(pictures=(Upload(f"{desk.cdn.url}/none", "a", 5),)), "expired"),
        "ratio with a first frame": (desk.wish(pictures=(picture,), first_frame=True, aspect_ratio="16:9"), "shape"),
        "eleven": (desk.wish(pictures=tuple(desk.upload(png((n, 9, 9))) for n in range(0, 253, 23))[:11]), "up to 10"),
        "picture for a video": (desk.wish(operation=edit, source=picture), "picture, not a video"),
        "no source": (desk.wish(operation=edit), "Give a video to edit"),
        "no source, but a start": (desk.wish(operation=edit, start=1.0), "Give a video to edit"),
        "large video claim": (desk.wish(operation=edit, source=replace(video, size=60_000_000)), "MB"),
        "too long to edit": (desk.wish(operation=edit, source=desk.upload(clip(tmp_path, 10.0), "v")), "8.7 seconds"),
        "too short to extend": (desk.wish(operation=extend, source=desk.upload(clip(tmp_path, 1.0), "v")), "at least"),
        "webm too short": (desk.wish(operation=extend, source=desk.upload(clip(tmp_path, 1.0, "webm"), "v")), "least"),
        "start at the end": (desk.wish(operation=edit, source=video, start=2.5), "2.0 seconds long"),
        "negative start": (desk.wish(operation=edit, source=video, start=-1.0), "`start`"),
        "no number": (desk.wish(operation=edit, source=video, start=float("nan")), "`start`"),
    }


async def test_every_refusal_has_a_sentence_and_leaves_no_file_and_no_row(desk: Desk, tmp_path: Path) -> None:
    for name, (wish, sentence) in bad_wishes(desk, tmp_path).items():
        with pytest.raises(Refused) as caught:
            await desk.services.intake.take(wish)
        assert sentence in caught.value.sentence, name
        assert desk.left() == NOTHING, name


async def test_a_file_larger_than_it_claims_is_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.intake.PICTURE_BYTES", 1000)
    with pytest.raises(BadAttachment) as caught:
        await desk.services.intake.take(desk.wish(pictures=(desk.upload(png() + b"x" * 5000, size=10),)))
    assert desk.left() == NOTHING
    assert "too large" in caught.value.sentence
    assert PICTURE_BYTES > 20 << 20
    assert EDIT_SOURCE_BYTES == 50_000_000


@pytest.mark.parametrize("error", [LineFull, OverBudget])
async def test_no_place_in_line_leaves_no_picture(make_settings: MakeSettings, cdn: Cdn, error: type[Refused]) -> None:
    limits = {"queue": QueueSettings(per_user_waiting=1)} if error is LineFull else {}
    settings = make_settings(discord=at_cdn(cdn), budget=BudgetSettings.model_validate({"monthly_usd": "1"}), **limits)
    async with opened(settings) as services:
        desk = Desk(services, cdn)
        await services.intake.take(desk.wish(pictures=(desk.upload(png()),)))
        before = desk.left()
        with pytest.raises(error):
            await services.intake.take(desk.wish(pictures=(desk.upload(png((1, 2, 3))),)))
        assert desk.left() == before
        with pytest.raises(error):
            await services.intake.take(desk.wish(pictures=(desk.upload(png()),)))
        assert desk.left() == before, "a picture that another job needs stays"


async def test_a_disk_that_refuses_is_the_bots_trouble(desk: Desk) -> None:
    scratch = desk.settings.storage.path / "tmp"
    scratch.rmdir()
    with pytest.raises(StorageError, match="scratch"):
        await desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),)))
    scratch.mkdir()
    assert desk.left() == NOTHING


# --- at once


async def test_a_form_sent_twice_makes_one_job(desk: Desk) -> None:
    wish = desk.wish(pictures=(desk.upload(png()),))
    taken = await asyncio.gather(*(desk.services.intake.take(wish) for _ in range(4)))
    assert sorted(one.duplicate for one in taken) == [False, True, True, True]
    assert len({one.job.id for one in taken}) == len(desk.kept()) == 1


async def test_a_form_sent_again_after_its_job_is_over_leaves_nothing(desk: Desk) -> None:
    wish = desk.wish(pictures=(desk.upload(png()),))
    job = (await desk.services.intake.take(wish)).job
    await desk.services.jobs.cancel(job.id)
    await desk.services.files.release(job.id)
    assert (await desk.services.intake.take(wish)).duplicate
    assert desk.left() == ([], [job.id], [])


async def test_two_members_with_one_picture_at_once(desk: Desk) -> None:
    wishes = [desk.wish(user_id=user, pictures=(desk.upload(png()),), first_frame=True) for user in (1, 2)]
    one, two = [taken.job for taken in await asyncio.gather(*map(desk.services.intake.take, wishes))]
    assert desk.kept() == [one.request.image] == [two.request.image]
    await desk.services.jobs.cancel(one.id)
    await desk.services.files.release(one.id)
    assert desk.kept() == [two.request.image]


async def test_cancelled_while_it_downloads_leaves_nothing(desk: Desk) -> None:
    desk.cdn.hold = asyncio.Event()
    task = asyncio.create_task(desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),))))
    await until(lambda: desk.cdn.asked)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    desk.cdn.hold.set()
    assert desk.left() == NOTHING


@pytest.mark.parametrize("step", ["safe_picture", "accept"])
async def test_cancelled_half_way_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    reached = asyncio.Event()

    async def stay(*_: Any, **__: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    target = "bot.intake.safe_picture" if step == "safe_picture" else "bot.store.jobs.Jobs.accept"
    monkeypatch.setattr(target, stay)
    task = asyncio.create_task(desk.services.intake.take(desk.wish(pictures=(desk.upload(png()),))))
    await reached.wait()
    assert desk.kept()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert desk.left() == NOTHING
