"""Several delayed jobs: each waits for its own time."""

import pytest

from tests.bot.store.queues import Queue


async def test_only_those_whose_time_has_come_are_woken(queue: Queue) -> None:
    soon, late = await queue.claimed(1), await queue.claimed(2)
    await queue.jobs.requeue(late.id, delay=60)
    await queue.jobs.requeue(soon.id, delay=1)
    queue.clock.now += 2000
    assert await queue.jobs.wake_delayed() == 0
    first = await queue.jobs.claim(room=1)
    assert first is not None
    assert first.id == soon.id
    assert await queue.jobs.claim(room=1) is None
    assert await queue.jobs.wake_delayed() == pytest.approx(58, abs=0.1)
