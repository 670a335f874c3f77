"""An event loop in a thread beside the main one, which can so sit at the keyboard and get the signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

T = TypeVar("T")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NUDGE = signal.SIGURG  # nobody else uses it, and it ends nothing


class Background:
    """A running event loop. `run` waits for a coroutine on it and may be interrupted by a signal."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-ins", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            self.run(self._finish())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, or its exception. An interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _finish(self) -> None:
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


@contextmanager
def ending_signals() -> Iterator[None]:
    """Within it SIGINT, SIGTERM and SIGHUP all raise KeyboardInterrupt, whatever the parent process had set."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
    before[_NUDGE] = signal.signal(_NUDGE, lambda *_: None)
    told, tells = socket.socketpair()
    tells.setblocking(False)
    signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_nudge, args=(told,), name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        tells.close()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Within it the ending signals interrupt nothing; those that came are in the list."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda signum, _: came.append(signum)) for number in _ENDING}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nudge(told: socket.socket) -> None:
    """Interrupts the main thread again after each signal.

    A signal that comes just before readline begins to wait would be noticed only at the next key.
    """
    with told:
        while received := told.recv(64):
            if set(received) - {_NUDGE}:
                time.sleep(0.1)
                signal.pthread_kill(threading.main_thread().ident or 0, _NUDGE)
