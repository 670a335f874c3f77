"""Starting the try-out as a process, with or without a terminal, and looking for what it left behind."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

PROJECT = Path(__file__).resolve().parents[3]
DEADLINE = 40.0  # seconds; a slow machine must not fail
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The process environment of a try-out whose temporary folders are made in `folder`."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(PROJECT)} | more


def demo(folder: Path, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m sandbox demo` without a terminal, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox", "demo", *options],
        cwd=folder,
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def left_behind(folder: Path) -> list[str]:
    """Temporary files, and processes that work in `folder`."""
    found = [str(path) for path in (folder / "temporary").iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").readlink()
        except OSError:
            continue
        if where.is_relative_to(folder):
            found.append(f"process {process.name}: {(process / 'cmdline').read_text()}")
    return found


class Terminal:
    """`python -m sandbox …` on a pseudo-terminal. Reads with a deadline; killed at the end if it still runs."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.text = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            words = [sys.executable, "-m", "sandbox", *arguments]
            os.execve(sys.executable, words, environment(folder, TERM="xterm", COLUMNS="110", LINES="50"))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 110, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._fd)

    def until(self, pattern: str) -> re.Match[str]:
        """Reads until the pattern comes, and cuts the text behind it."""
        deadline = time.monotonic() + DEADLINE
        while not (match := re.search(pattern, self.text, re.DOTALL)):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.text}"
            assert self._read(), f"ended without {pattern!r}:\n{self.text}"
        self.text = self.text[match.end() :]
        return match

    def type(self, line: str, prompt: str = r"#\w+> ") -> None:
        """Waits for the prompt, then types the line."""
        self.until(prompt)
        os.write(self._fd, f"{line}\r".encode())

    def press(self, key: bytes) -> None:
        """A control key: b"\\x03" is Ctrl-C."""
        os.write(self._fd, key)

    def end(self) -> int:
        """Reads to the end; the exit status."""
        deadline = time.monotonic() + DEADLINE
        while self._read():
            assert time.monotonic() < deadline, f"does not end:\n{self.text}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.text += _ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)
