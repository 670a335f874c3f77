"""Who waits for an upload is told when it is in storage, if it came in through this process."""

import asyncio


class Arrivals:
    """One event a job, for as long as somebody waits."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    async def arrived(self, job_id: str) -> None:
        """The job's video is in storage."""
        if job_id in self._events:
            self._events[job_id].set()

    async def wait(self, job_id: str, *, seconds: float) -> None:
        """Return when the job's video arrives, or after `seconds`: uploads may also come in elsewhere."""
        event = self._events.setdefault(job_id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._events.pop(job_id, None)
