"""Where bytes live: a folder here, or a bucket (bot/bucket.py); keys, signed links and upload tickets.

A key is a short relative path such as `videos/<id>.mp4` or `images/<sha256>.jpg`. The folder's links are signed with a
key of the bot's own and served by bot/web.py; what may be PUT there is a ticket: one upload, for one job, until a time.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from bot.errors import StorageError

_P = ParamSpec("_P")
_R = TypeVar("_R")

CHUNK = 256 * 1024  # bytes a write: large enough that the hop to a thread costs little

_KEY = re.compile(r"(?:[a-z0-9][a-z0-9_-]{0,63}/){1,4}[A-Za-z0-9][A-Za-z0-9_-]{0,127}\.[a-z0-9]{2,5}", re.ASCII)
_TEMPORARY = "tmp"
_CONTENT_TYPES = {
    "mp4": "video/mp4",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to PUT one file of at most `max_bytes` under `key`, until `expires_at` (Unix seconds)."""

    job_id: str
    key: str
    max_bytes: int
    expires_at: float


class TicketBook(Protocol):
    """Tickets as rows that every process of the service shares. Only the SHA-256 (hex) of a token is kept."""

    async def issue(self, token_hash: str, ticket: Ticket) -> None:
        """Open a ticket; the same job's earlier tickets that are still unused become void."""
        ...

    async def take(self, token_hash: str) -> Ticket | None:
        """Open becomes taken, by compare-and-set. None: unknown, taken already, void or expired."""
        ...

    async def settle(self, token_hash: str, *, stored: bool) -> None:
        """Taken becomes stored, or open again (the upload broke off) so that its sender may try once more."""
        ...


class Storage(Protocol):
    """Bytes under keys. Every method raises StorageError for a key that is not one, and for what storage refuses."""

    async def save(self, key: str, path: Path) -> None:
        """Take the file at `path` over: it is gone from there afterwards, and visible under `key` all at once."""
        ...

    def local(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A readable file on this disk for as long as the block runs; not to be written to. StorageError if missing."""
        ...

    async def size(self, key: str) -> int | None:
        """Bytes under `key`, or None where there is nothing."""
        ...

    async def delete(self, key: str) -> None:
        """Remove what is under `key`; nothing there is fine."""
        ...

    async def read_url(self, key: str, *, seconds: int) -> str | None:
        """A link that anybody may GET for `seconds`, or None where nothing outside can reach this storage."""
        ...

    async def upload_url(self, key: str, *, job_id: str, seconds: int, max_bytes: int) -> str | None:
        """A link that takes one PUT of the finished video for `seconds`, or None where storage can't give one."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


def check_key(key: str) -> str:
    """`key` itself, if it is a storage key; StorageError otherwise."""
    if len(key) > 200 or not _KEY.fullmatch(key) or key.startswith(f"{_TEMPORARY}/"):
        raise StorageError(f"not a storage key: {key[:80]!r}")
    return key


def content_type(key: str) -> str:
    """The media type that a key's ending stands for."""
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def hash_token(token: str) -> str:
    """What a TicketBook knows of a token: its SHA-256, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _new_token() -> str:
    return secrets.token_urlsafe(32)


class FolderStorage:
    """Storage in a folder. Others reach it through bot/web.py, and only where `public_url` is set.

    `public_url` may be set later, once a server knows its port.
    `signing_key` (at least 32 bytes) signs read links; it must outlive them. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        root: Path,
        *,
        public_url: str | None,
        tickets: TicketBook,
        signing_key: bytes,
        clock: Callable[[], float] = time.time,
        new_token: Callable[[], str] = _new_token,
    ) -> None:
        if len(signing_key) < 32:
            raise ValueError("a signing key has at least 32 bytes")
        self._root = root.absolute()
        self._temporary = self._root / _TEMPORARY
        self.public_url = public_url.rstrip("/") if public_url else None
        self._tickets = tickets
        self._signing_key = signing_key
        self._clock = clock
        self._new_token = new_token

    def path(self, key: str) -> Path:
        """Where `key` is kept, whether or not it is there. Touches no disk."""
        return self._root / check_key(key)

    async def save(self, key: str, path: Path) -> None:
        target = self.path(key)
        await _in_thread(f"cannot keep {key}", self._save, target, path)

    @asynccontextmanager
    async def local(self, key: str) -> AsyncGenerator[Path]:
        if await self.size(key) is None:
            raise StorageError(f"{key} is not in the folder")
        yield self.path(key)

    async def size(self, key: str) -> int | None:
        return await _in_thread(f"cannot look at {key}", _size, self.path(key))

    async def delete(self, key: str) -> None:
        target = self.path(key)
        await _in_thread(f"cannot delete {key}", lambda: target.unlink(missing_ok=True))

    async def read_url(self, key: str, *, seconds: int) -> str | None:
        check_key(key)
        if self.public_url is None:
            return None
        expires = int(self._clock()) + seconds
        return f"{self.public_url}/media/{key}?expires={expires}&signature={self._sign(key, str(expires))}"

    async def upload_url(self, key: str, *, job_id: str, seconds: int, max_bytes: int) -> str | None:
        check_key(key)
        if self.public_url is None:
            return None
        token = self._new_token()
        ticket = Ticket(job_id=job_id, key=key, max_bytes=max_bytes, expires_at=self._clock() + seconds)
        await self._tickets.issue(hash_token(token), ticket)
        return f"{self.public_url}/tickets/{token}"

    async def aclose(self) -> None:
        """Nothing is held open between calls."""

    def may_read(self, key: str, *, expires: str, signature: str) -> bool:
        """Whether a read link's two parameters are this storage's own for `key`, and still good."""
        expected = self._sign(key, expires)
        genuine = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))
        return genuine and int(expires) > self._clock()

    async def new_temporary(self) -> Path:
        """An empty file of the caller's own on the folder's disk, so that `save` is a rename; the caller removes it."""
        return await _in_thread("cannot write a temporary file", self._new_temporary)

    async def sweep_temporary(self, older_than: float) -> int:
        """Remove temporary files last written more than `older_than` seconds ago; how many there were."""
        return await _in_thread("cannot sweep temporary files", self._sweep, self._clock() - older_than)

    def _sign(self, key: str, expires: str) -> str:
        text = f"media\n{key}\n{expires}".encode("utf-8", "surrogatepass")
        return hmac.new(self._signing_key, text, hashlib.sha256).hexdigest()

    def _save(self, target: Path, path: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_dev != target.parent.stat().st_dev:
            copy = self._new_temporary()
            try:
                shutil.copyfile(path, copy)
                _replace(copy, target)
            finally:
                copy.unlink(missing_ok=True)
            path.unlink()
        else:
            _replace(path, target)

    def _new_temporary(self) -> Path:
        self._temporary.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._temporary)
        os.close(descriptor)
        return Path(name)

    def _sweep(self, before: float) -> int:
        if not self._temporary.is_dir():
            return 0
        return sum(_remove_if_older(path, before) for path in self._temporary.iterdir())


def _replace(source: Path, target: Path) -> None:
    # A job is committed as rendered once this returns, so the bytes and the name must outlast a power cut.
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _remove_if_older(path: Path, before: float) -> bool:
    try:
        if path.stat().st_mtime >= before:
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True


async def _in_thread(trouble: str, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise StorageError(f"{trouble}: {error}") from error
