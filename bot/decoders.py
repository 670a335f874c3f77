"""Where strangers' pictures and videos are decoded: processes of their own, with a limit of time and of memory.

A decoder written in C that hangs, crashes or eats memory takes its worker down, never the bot. Pebble's pool gives
time limits and replaces dead workers; this room adds the memory limit, the end of the workers when the bot is killed,
the errors of `bot/errors.py`, and gives the memory back when nothing was decoded for a while.

Workers are started by "spawn", as the bot has threads and sockets that a fork would copy. `spawn` imports the main
script again in the worker, so the console script's module should import little at its top.
"""

import asyncio
import importlib.util
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, TypeVarTuple

from pebble import CONSTS, ProcessExpired, ProcessFuture, ProcessPool

from bot.errors import CinecordError, MediaError

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TOO_SLOW = "That file took too long to read. Try a smaller or shorter one."
TOO_HEAVY = "That file needs more memory to read than the bot may use. Try a smaller one."
UNREADABLE = "That file could not be read; it may be damaged. Save or export it again, then upload it again."
CLOSING = "The bot is being restarted. Try again in a minute."

ALARM_GRACE_SECONDS = 2.0
RENEW_AFTER_TASKS = 200  # a fresh process now and then: C decoders leak
CONSTS.term_timeout = 0.05  # workers ignore SIGTERM (see `_confine`), so there is nothing to wait for before SIGKILL
CONSTS.channel_lock_timeout = (
    5.0  # a worker killed while it held the pool's pipe holds the others up no longer than this
)


def lazy(name: str) -> ModuleType:
    """The module `name`, loaded at its first use: the heavy decoders fill the workers' memory, not the bot's."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _confine(memory_bytes: int) -> None:
    """Set a new worker's limits. Runs in the worker, before its first task."""
    # Ctrl+C and service managers signal every process at once; the bot decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if resource is not None:
        for limit, value in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)):
            with suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
                resource.setrlimit(limit, (value, value))
    threading.Thread(target=_die_with_parent, name="parent-watch", daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _set_alarm(seconds: float) -> None:
    """Let the kernel end this worker after `seconds` (0: never), whatever holds the interpreter's lock."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _work(seconds: float, function: Callable[[*Ts], T], args: tuple[*Ts]) -> T:
    """Call `function` in the worker; whatever it raises leaves as a CinecordError, which can cross the pipe."""
    _set_alarm(seconds + ALARM_GRACE_SECONDS)
    try:
        return function(*args)
    except CinecordError:
        raise
    except MemoryError as error:
        raise MediaError(TOO_HEAVY, cause=f"out of memory in {function.__name__}") from error
    except Exception as error:  # noqa: BLE001 - the worker's outermost edge; the traceback goes to the bot's log
        cause = f"{function.__name__}: {''.join(traceback.format_exception(error))}"
        raise MediaError(UNREADABLE, cause=cause) from None
    finally:
        _set_alarm(0)


class Decoders:
    """A small pool of decoding processes. Started at first use, ended after `idle_seconds` without work."""

    def __init__(
        self,
        *,
        workers: int = 2,
        memory_bytes: int = 2 * 1024**3,
        seconds: float = 60.0,
        idle_seconds: float = 120.0,
    ) -> None:
        self._workers = workers
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._pool: ProcessPool | None = None
        self._running: set[ProcessFuture[Any]] = set()
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def run(self, function: Callable[[*Ts], T], /, *args: *Ts, seconds: float | None = None) -> T:
        """Call the module-level `function` in a worker and return its result; both must be picklable.

        `seconds` limits the call itself, not its wait for a free worker. Cancelling ends the work. Raises MediaError
        on timeout, crash, or too much memory; a CinecordError of the function comes through unchanged.
        """
        limit = self._seconds if seconds is None else seconds
        pool = await self._started_pool()
        future: ProcessFuture[T] = pool.schedule(_work, args=(limit, function, args), timeout=limit)
        self._running.add(future)
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise MediaError(TOO_SLOW, cause=f"{function.__name__} took over {limit:g} s") from error
        except (ProcessExpired, BrokenProcessPool) as error:
            raise MediaError(UNREADABLE, cause=f"{function.__name__} took its worker down: {error!r}") from error
        except asyncio.CancelledError:
            if self._closed and not _being_cancelled():
                raise MediaError(CLOSING, cause="the decoders were closed") from None
            raise
        finally:
            self._running.discard(future)
            self._watch_idleness()

    async def aclose(self) -> None:
        """End all workers. Calls under way raise MediaError, as do later ones."""
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for future in tuple(self._running):
            future.cancel()
        async with self._starting:
            self._let_go()
        await asyncio.gather(*self._ending)

    async def _started_pool(self) -> ProcessPool:
        async with self._starting:
            if self._closed:
                raise MediaError(CLOSING, cause="the decoders are closed")
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            if self._pool is not None and not self._pool.active:  # pebble gives up when an idle worker dies
                self._let_go()
            if self._pool is None:
                self._pool = _new_pool(self._workers, self._memory_bytes)
                await asyncio.to_thread(self._pool.schedule, os.getpid)  # a first task starts the processes
            return self._pool

    def _watch_idleness(self) -> None:
        if not self._running and not self._closed:
            loop = asyncio.get_running_loop()
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._idle_timer = loop.call_later(self._idle_seconds, self._rest)

    def _rest(self) -> None:
        if not self._running and not self._starting.locked():
            self._let_go()

    def _let_go(self) -> None:
        """End the present pool in the background; the next call starts another."""
        pool, self._pool = self._pool, None
        if pool is not None:
            task = asyncio.get_running_loop().create_task(asyncio.to_thread(_stop_pool, pool), name="decoders-stop")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _new_pool(workers: int, memory_bytes: int) -> ProcessPool:
    return ProcessPool(
        max_workers=workers,
        max_tasks=RENEW_AFTER_TASKS,
        initializer=_confine,
        initargs=(memory_bytes,),
        context=multiprocessing.get_context("spawn"),
    )


def _stop_pool(pool: ProcessPool) -> None:
    pool.stop()
    with suppress(CancelledError):
        pool.join()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def scratch_folder(folder: Path) -> AsyncGenerator[Path]:
    """A new folder inside `folder` for a worker's half-made files, gone at the end even if the worker was killed."""
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".making-", dir=folder))
    try:
        yield scratch
    finally:
        await asyncio.shield(asyncio.create_task(_remove(scratch)))


async def _remove(folder: Path) -> None:
    for _ in range(100):  # a worker that is being killed may write a moment longer
        if await asyncio.to_thread(_removed, folder):
            return
        await asyncio.sleep(0.05)


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
