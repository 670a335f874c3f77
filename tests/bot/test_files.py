"""Files that jobs share: they go with the last job that needs them, and never under somebody who holds them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from bot.files import Files
from bot.model import Operation, Request
from bot.services import Services
from bot.storage import FolderStorage
from bot.store.records import Job, NewJob
from tests.bot.parts import MakeSettings, opened

KEY = "images/abc.png"


@dataclass
class Shelf:
    services: Services
    number: int = 0

    @property
    def files(self) -> Files:
        return self.services.files

    async def put(self, key: str = KEY) -> None:
        storage = self.services.storage
        assert isinstance(storage, FolderStorage)
        path = await storage.new_temporary()
        path.write_bytes(b"picture")
        await storage.save(key, path)

    async def there(self, key: str = KEY) -> bool:
        return await self.services.storage.size(key) is not None

    async def job(self, *files: str) -> Job:
        self.number += 1
        request = Request(operation=Operation.GENERATE, prompt="a fox")
        new = NewJob(
            guild_id=1, channel_id=1, user_id=1, request=request, request_key=str(self.number), price=1,
            upload_limit=1, files=files,
        )  # fmt: skip
        return (await self.services.jobs.accept(new)).job


@pytest.fixture
async def shelf(make_settings: MakeSettings) -> AsyncIterator[Shelf]:
    async with opened(make_settings()) as services:
        yield Shelf(services)


async def test_a_file_goes_with_its_job(shelf: Shelf) -> None:
    await shelf.put()
    job = await shelf.job(KEY)
    await shelf.files.release(job.id)
    assert not await shelf.there()
    await shelf.files.release(job.id)


async def test_a_shared_file_outlives_the_first_job_and_not_the_last(shelf: Shelf) -> None:
    await shelf.put()
    one, two = await shelf.job(KEY), await shelf.job(KEY)
    await shelf.files.release(one.id)
    assert await shelf.there()
    await shelf.files.release(two.id)
    assert not await shelf.there()


async def test_only_what_nobody_needs_is_discarded(shelf: Shelf) -> None:
    await shelf.put()
    await shelf.put("images/free.png")
    await shelf.job(KEY)
    await shelf.files.discard([KEY, "images/free.png", "images/never.png"])
    assert (await shelf.there(), await shelf.there("images/free.png")) == (True, False)
    await shelf.files.discard([])


async def test_a_held_file_stays_until_it_is_let_go(shelf: Shelf) -> None:
    await shelf.put()
    async with shelf.files.hold([KEY, KEY]):
        async with shelf.files.hold([KEY]):
            await shelf.files.discard([KEY])
        await shelf.files.discard([KEY])
        assert await shelf.there(), "two hold it, and one is left"
    await shelf.files.discard([KEY])
    assert not await shelf.there()


async def test_an_error_in_the_block_lets_go(shelf: Shelf) -> None:
    await shelf.put()
    with pytest.raises(ValueError, match="oops"):
        async with shelf.files.hold([KEY]):
            raise ValueError("oops")
    await shelf.files.discard([KEY])
    assert not await shelf.there()


async def test_a_file_that_is_taken_while_another_lets_go_of_it_stays(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder writes it down and lets go while the other's question to the database is under way."""
    await shelf.put()
    asked, answer = asyncio.Event(), asyncio.Event()
    real = shelf.services.jobs.needed_files

    async def slow(keys: set[str]) -> set[str]:
        found = await real(keys)
        asked.set()
        await answer.wait()
        return found

    monkeypatch.setattr(shelf.services.jobs, "needed_files", slow)
    async with shelf.files.hold([KEY]):
        letting_go = asyncio.create_task(shelf.files.discard([KEY]))
        await asked.wait()
        await shelf.job(KEY)
    answer.set()
    await letting_go
    assert await shelf.there()


async def test_who_comes_during_a_removal_waits_for_its_end(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.put()
    asked, answer = asyncio.Event(), asyncio.Event()
    real = shelf.services.jobs.needed_files

    async def slow(keys: set[str]) -> set[str]:
        found = await real(keys)
        asked.set()
        await answer.wait()
        return found

    monkeypatch.setattr(shelf.services.jobs, "needed_files", slow)

    async def take() -> None:
        async with shelf.files.hold([KEY]):
            await shelf.put()
            await shelf.job(KEY)

    removing = asyncio.create_task(shelf.files.discard([KEY]))
    await asked.wait()
    taking = asyncio.create_task(take())
    await asyncio.sleep(0.02)
    answer.set()
    await asyncio.gather(removing, taking)
    assert await shelf.there()


async def test_many_at_once_never_lose_a_file_that_is_needed(shelf: Shelf) -> None:
    async def come_and_go() -> None:
        async with shelf.files.hold([KEY]):
            await shelf.put()
            job = await shelf.job(KEY)
        await asyncio.sleep(0)
        assert await shelf.there()
        await shelf.files.release(job.id)

    await asyncio.gather(*(come_and_go() for _ in range(20)))
    assert not await shelf.there()
