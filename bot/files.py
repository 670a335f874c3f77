"""Stored files that jobs share by content: a file goes when the last job that needs it goes.

Two members may upload the same picture at the same moment. While one request is being taken in, its files are held, so
that the end of another job cannot remove them between being saved and being written down.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from bot.storage import Storage
from bot.store.jobs import Jobs


class Files:
    """Removal of what no job needs any more."""

    def __init__(self, storage: Storage, jobs: Jobs) -> None:
        self._storage = storage
        self._jobs = jobs
        self._held: Counter[str] = Counter()
        # A removal that has looked must also have removed before somebody else saves the same file again.
        self._removing = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, keys: Iterable[str]) -> AsyncGenerator[None]:
        """Keep these files for as long as the block runs."""
        kept = list(keys)
        async with self._removing:
            self._held.update(kept)
        try:
            yield
        finally:
            self._held.subtract(kept)
            self._held += Counter()  # drops the zeros

    async def release(self, job_id: str) -> None:
        """A job will never need its files again."""
        await self.discard(await self._jobs.drop_files(job_id))

    async def discard(self, keys: Iterable[str]) -> None:
        """Remove those of the files that no job needs and nobody holds."""
        candidates = set(keys)
        if not candidates:
            return
        async with self._removing:
            # Who holds a file now may have written it down, and let go, by the time that the database answers.
            free = {key for key in candidates if not self._held[key]}
            for key in free - await self._jobs.needed_files(free):
                await self._storage.delete(key)
