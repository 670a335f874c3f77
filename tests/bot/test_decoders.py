"""Workers that hang, crash, eat memory or outlive their parent; and what a call that goes well gives back."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot import decoders as module
from bot.decoders import Decoders, scratch_folder
from bot.errors import BadAttachment, InvalidRequest, MediaError

ROOT = Path(__file__).parents[2]


def double(value: int) -> int:
    return value * 2


def worker_id() -> int:
    return os.getpid()


def refuse(_: int) -> None:
    raise InvalidRequest("image", "No.")


def break_down() -> None:
    raise KeyError("a bug")


def hang(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    while True:
        time.sleep(3600)


def crash(number: int) -> None:
    os.kill(os.getpid(), number)


def eat() -> int:
    return len(bytearray(4 * 1024**3))


def keep_writing(folder: Path) -> None:
    (folder / "pid").write_text(str(os.getpid()))
    number = 0
    while True:
        number += 1
        (folder / str(number)).write_bytes(b"x")


def loaded() -> set[str]:
    return set(sys.modules)


def exists(process: int) -> bool:
    """Whether the process runs (a zombie that nobody has reaped does not)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition: Callable[[], bool], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    pool = Decoders(workers=2, memory_bytes=1024**3)
    yield pool
    await pool.aclose()


async def test_a_call_runs_in_another_process(decoders: Decoders) -> None:
    assert await decoders.run(double, 21) == 42
    assert await decoders.run(worker_id) != os.getpid()


async def test_errors_come_through_with_their_sentence(decoders: Decoders) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await decoders.run(refuse, 1)
    assert (caught.value.field, caught.value.sentence, caught.value.cause) == ("image", "No.", "image: No.")


async def test_a_bug_is_a_media_error_with_its_traceback_for_the_log(decoders: Decoders) -> None:
    with pytest.raises(MediaError) as caught:
        await decoders.run(break_down)
    assert "KeyError" in caught.value.cause
    assert "break_down" in caught.value.cause
    assert "KeyError" not in caught.value.sentence


async def test_a_hanging_worker_is_killed_and_replaced(decoders: Decoders, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with pytest.raises(MediaError) as caught:
        await decoders.run(hang, mark, seconds=0.3)
    assert caught.value.sentence == module.TOO_SLOW
    await until(lambda: not exists(int(mark.read_text())))
    assert await decoders.run(double, 1) == 2


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_crash_is_an_error_and_the_pool_lives_on(decoders: Decoders, number: int) -> None:
    with pytest.raises(MediaError) as caught:
        await decoders.run(crash, number)
    assert caught.value.sentence == module.UNREADABLE
    assert await decoders.run(double, 2) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
async def test_too_much_memory_is_an_error(decoders: Decoders) -> None:
    with pytest.raises(MediaError) as caught:
        await decoders.run(eat)
    assert caught.value.sentence == module.TOO_HEAVY


async def test_the_death_of_an_idle_worker_is_survived(decoders: Decoders) -> None:
    os.kill(await decoders.run(worker_id), signal.SIGKILL)
    await asyncio.sleep(0.3)  # pebble looks after its workers every 0.1 s, and gives up at this
    assert await decoders.run(double, 3) == 6


async def test_workers_leave_interrupts_and_terminations_to_the_bot(decoders: Decoders) -> None:
    worker = await decoders.run(worker_id)
    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGTERM)
    await asyncio.sleep(0.3)
    assert exists(worker)


async def test_cancelling_ends_the_work(decoders: Decoders, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    task = asyncio.create_task(decoders.run(hang, mark))
    await until(lambda: mark.exists() and mark.read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not exists(int(mark.read_text())))
    assert await decoders.run(double, 4) == 8


async def test_a_scratch_folder_goes_even_while_its_writer_is_being_killed(decoders: Decoders, tmp_path: Path) -> None:
    async def write() -> None:
        async with scratch_folder(tmp_path) as scratch:
            await decoders.run(keep_writing, scratch)

    task = asyncio.create_task(write())
    await until(lambda: any(tmp_path.glob(".making-*/5")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(tmp_path.iterdir()))


async def test_idle_workers_give_their_memory_back() -> None:
    pool = Decoders(workers=1, idle_seconds=0.1)
    worker = await pool.run(worker_id)
    await until(lambda: not exists(worker))
    assert await pool.run(double, 5) == 10
    await pool.aclose()


async def test_closing_ends_workers_and_calls(tmp_path: Path) -> None:
    pool = Decoders(workers=1)
    mark = tmp_path / "pid"
    task = asyncio.create_task(pool.run(hang, mark))
    await until(lambda: mark.exists() and mark.read_text() != "")
    await pool.aclose()
    with pytest.raises(MediaError) as caught:
        await task
    assert caught.value.sentence == module.CLOSING
    assert not exists(int(mark.read_text()))
    with pytest.raises(MediaError):
        await pool.run(double, 6)


async def test_many_calls_at_once_share_the_workers(decoders: Decoders) -> None:
    assert await asyncio.gather(*(decoders.run(double, number) for number in range(50))) == list(range(0, 100, 2))


PARENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_decoders import hang
from bot.decoders import Decoders

async def main() -> None:
    pool = Decoders(workers=2)
    await asyncio.gather(*(pool.run(hang, Path(name)) for name in sys.argv[1:]))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("busy", [1, 2])
async def test_workers_end_when_the_bot_is_killed(tmp_path: Path, busy: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(tests=str(Path(__file__).parent)))
    marks = [tmp_path / f"pid{number}" for number in range(busy)]
    parent = subprocess.Popen(
        [sys.executable, str(script), *map(str, marks)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        await until(lambda: all(mark.exists() and mark.read_text() for mark in marks))
        children = Path(f"/proc/{parent.pid}/task").glob("*/children")
        family = {int(child) for file in children for child in file.read_text().split()}
        assert {int(mark.read_text()) for mark in marks} <= family
    finally:
        parent.kill()
        parent.wait()
    await until(lambda: not any(map(exists, family)))


def test_the_bot_itself_loads_no_decoder() -> None:
    script = "import bot.images, bot.videos, sys; print([m for m in ('PIL._imaging', 'av._core') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_survives_the_pipe_whole() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(BadAttachment("Told.", cause="for the log")))
    assert (type(error), str(error), error.sentence, error.cause) == (
        BadAttachment,
        "for the log",
        "Told.",
        "for the log",
    )
