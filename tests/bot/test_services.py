"""Everything opened in the right order and closed in the other; health and figures over the real server."""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.bucket import BucketStorage
from bot.config import BudgetSettings, HttpSettings, StorageSettings
from bot.errors import ConfigError, OverBudget
from bot.model import Operation, Request
from bot.services import open_services
from bot.storage import FolderStorage, hash_token
from bot.store.records import NewJob, Video
from tests.bot.parts import MakeSettings, clip, files_in, for_model, opened, stored_rows, until


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def descriptors() -> set[str]:
    """What this process has open."""
    found: set[str] = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found


def new_job(key: str = "key", price: int = 640_000) -> NewJob:
    request = Request(operation=Operation.GENERATE, prompt="a fox")
    return NewJob(
        guild_id=1, channel_id=1, user_id=1, request=request, request_key=key, price=price, upload_limit=1
    )  # fmt: skip


def video(key: str) -> Video:
    return Video(
        id="1", guild_id=1, channel_id=1, user_id=1, operation=Operation.GENERATE, prompt="x", parent_id=None, key=key,
        seconds=2, width=64, height=48, size=1, message_id=1, created_at=1, deleted_at=None,
    )  # fmt: skip


async def test_after_closing_no_task_no_file_and_no_port_is_left(
    make_settings: MakeSettings, model: Any, tmp_path: Path
) -> None:
    port = free_port()
    settings = make_settings(http=HttpSettings(listen=f"127.0.0.1:{port}"), cloudflare=for_model(model))
    tasks = asyncio.all_tasks()
    async with opened(settings) as services:
        path = tmp_path / "files" / "videos"
        path.mkdir()
        (path / "a.mp4").write_bytes(clip(tmp_path))
        assert await services.library.filmstrip(video("videos/a.mp4"), tmp_path / "strip.jpg")
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    assert asyncio.all_tasks() == tasks
    mine = str(tmp_path)
    await until(lambda: not [name for name in descriptors() if name.startswith(mine)])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
    assert files_in(tmp_path / "files") == ["videos/a.mp4"]


async def test_a_taken_port_is_a_setting_to_change_and_leaves_nothing_open(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = make_settings(http=HttpSettings(listen=f"127.0.0.1:{taken.getsockname()[1]}"))
        tasks = asyncio.all_tasks()
        with pytest.raises(ConfigError, match=r"http\.listen"):
            await open_services(settings)
        assert asyncio.all_tasks() == tasks
    await until(lambda: not [name for name in descriptors() if name.startswith(str(tmp_path))])


async def test_a_file_in_the_storages_place_is_a_setting_to_change(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file")
    with pytest.raises(ConfigError, match=r"storage\.path"):
        await open_services(make_settings())


async def test_health_names_what_is_ill(make_settings: MakeSettings, tmp_path: Path) -> None:
    async with opened(make_settings()) as services, httpx.AsyncClient(base_url=services.web.url) as http:
        answer = await http.get("/healthz")
        assert (answer.status_code, answer.json()["checks"]) == (200, {"database": True, "storage": True})
        (tmp_path / "files" / "videos").symlink_to("videos")
        answer = await http.get("/healthz")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"database": True, "storage": False})
        (tmp_path / "files" / "videos").unlink()
        await services.jobs._db.close()
        for path in (tmp_path / "data").iterdir():
            path.unlink()
        (tmp_path / "data" / "cinecord.db").write_bytes(b"this is no database" * 100)
        answer = await http.get("/healthz")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"database": False, "storage": True})


async def test_figures_are_served(make_settings: MakeSettings) -> None:
    async with opened(make_settings()) as services, httpx.AsyncClient(base_url=services.web.url) as http:
        services.metrics.jobs.labels(state="posted").inc()
        services.metrics.render_seconds.observe(42)
        text = (await http.get("/metrics")).text
        assert 'cinecord_jobs_total{state="posted"} 1.0' in text
        assert "cinecord_running 0.0" in text
        assert 'cinecord_render_seconds_bucket{le="45.0"} 1.0' in text


async def test_an_empty_database_is_brought_up_to_date(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    services = await open_services(settings)
    await services.aclose()
    assert stored_rows(settings, "SELECT version_num FROM alembic_version") == ["0001"]
    assert sorted(stored_rows(settings, "SELECT name FROM keys")) == ["end-users", "links"]


async def test_links_tickets_and_half_made_files_over_a_restart(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings()
    async with opened(settings) as services:
        storage = services.storage
        assert isinstance(storage, FolderStorage)
        link = await storage.read_url("videos/a.mp4", seconds=1000)
        upload = await storage.upload_url("videos/a.mp4", job_id="a", seconds=1000, max_bytes=1 << 20)
        assert link
        assert upload
        token = upload.rpartition("/")[2]
        assert await storage._tickets.take(hash_token(token))
    old, fresh = tmp_path / "files" / "tmp" / "old", tmp_path / "files" / "tmp" / "fresh"
    old.write_bytes(b"x")
    fresh.write_bytes(b"x")
    os.utime(old, (1, 1))
    async with opened(settings) as services, httpx.AsyncClient(base_url=services.web.url) as http:
        assert (old.exists(), fresh.exists()) == (False, True)
        assert (await http.put(f"/tickets/{token}", content=clip(tmp_path))).status_code == 201
        assert (await http.get(link[link.index("/media") :])).content == clip(tmp_path)
        fresh.unlink()


async def test_a_filmstrip_or_nothing(make_settings: MakeSettings, tmp_path: Path) -> None:
    async with opened(make_settings()) as services:
        (tmp_path / "files" / "videos").mkdir()
        (tmp_path / "files" / "videos" / "a.mp4").write_bytes(clip(tmp_path))
        (tmp_path / "files" / "videos" / "b.mp4").write_bytes(b"no video")
        out = tmp_path / "strip.jpg"
        assert await services.library.filmstrip(video("videos/b.mp4"), out) is None
        assert await services.library.filmstrip(video("videos/gone.mp4"), out) is None
        assert not out.exists()
        assert await services.library.filmstrip(video("videos/a.mp4"), out) == out
        assert out.read_bytes()[:2] == b"\xff\xd8"


async def test_the_operators_budget_is_in_dollars(make_settings: MakeSettings) -> None:
    settings = make_settings(budget=BudgetSettings.model_validate({"monthly_usd": "0.65"}))
    async with opened(settings, clock=lambda: 1_795_000_000.0) as services:
        job = (await services.jobs.accept(new_job("one"))).job
        assert job.created_at == 1_795_000_000_000
        with pytest.raises(OverBudget):
            await services.jobs.accept(new_job("two"))


async def test_with_a_bucket_the_bot_takes_no_uploads_and_has_a_scratch_folder_of_its_own(
    make_settings: MakeSettings,
) -> None:
    storage = StorageSettings.model_validate(
        {
            "kind": "s3",
            "s3": {"bucket": "b", "endpoint": "http://127.0.0.1:9", "access_key_id": "i", "secret_access_key": "s"},
        }
    )
    async with opened(make_settings(storage=storage), public=False) as services:
        assert isinstance(services.storage, BucketStorage)
        scratch = services.intake._scratch
        assert scratch.is_dir()
        async with httpx.AsyncClient(base_url=services.web.url) as http:
            assert (await http.put("/tickets/x", content=b"x")).status_code == 404
        url = await services.storage.upload_url("videos/a.mp4", job_id="a", seconds=60, max_bytes=5)
        assert (url or "").startswith("http://127.0.0.1:9/b/videos/a.mp4?")
    assert not scratch.exists()
