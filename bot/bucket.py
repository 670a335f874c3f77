"""Storage in a bucket that speaks S3 (R2, S3, MinIO): the model uploads straight to it by a presigned link."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import SecretStr

from bot.config import is_loopback
from bot.errors import ConfigError, StorageError
from bot.storage import check_key, content_type

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential  # exist for type checkers only

_PART = 5 * 1024 * 1024  # bytes: S3's least part of a multipart upload
_PARTS_AT_ONCE = 3
_READ = 1024 * 1024
_LONGEST_LINK = 7 * 24 * 3600  # seconds; S3: a presigned link lives at most seven days


class BucketStorage:
    """One bucket, and one prefix in it. `endpoint` is None for Amazon's own S3; `region` is "auto" for R2.

    Copies for reading go to `temporary` (the system's place if None). A presigned PUT cannot cap the size: look at
    `size` before reading what somebody else uploaded. ConfigError for an endpoint that would send bytes in the clear.
    """

    def __init__(
        self,
        *,
        bucket: str,
        endpoint: str | None,
        region: str,
        access_key_id: str,
        secret_access_key: SecretStr,
        prefix: str = "",
        temporary: Path | None = None,
    ) -> None:
        plain = _is_plain(endpoint)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._temporary = temporary
        # Each of these also has an AWS_… environment variable, which must not send the bytes elsewhere.
        config: S3Config = {
            "region": region,
            "endpoint": endpoint.rstrip("/") if endpoint else f"https://s3.{region}.amazonaws.com",
            "virtual_hosted_style_request": False,
            "skip_signature": False,
        }
        self._store = S3Store(
            bucket,
            config=config,
            credential_provider=_StaticCredentials(access_key_id, secret_access_key),
            client_options={
                "allow_http": plain,
                "connect_timeout": timedelta(seconds=10),
                "read_timeout": timedelta(seconds=30),
                "timeout": timedelta(minutes=10),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
        )

    async def save(self, key: str, path: Path) -> None:
        place = self._place(key)
        with _mapped(f"cannot keep {key} in the bucket"):
            await obstore.put_async(
                self._store,
                place,
                path,
                attributes={"Content-Type": content_type(key)},
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )
            await asyncio.to_thread(path.unlink)

    @asynccontextmanager
    async def local(self, key: str) -> AsyncGenerator[Path]:
        place = self._place(key)
        with _mapped("cannot write a temporary copy"):
            copy = await asyncio.to_thread(self._new_copy, Path(place).suffix)
        try:
            with _mapped(f"cannot read {key} from the bucket"):
                await self._download(place, copy)
            yield copy
        finally:
            await asyncio.to_thread(copy.unlink, missing_ok=True)

    async def size(self, key: str) -> int | None:
        place = self._place(key)
        with _mapped(f"cannot look at {key} in the bucket"):
            try:
                return (await obstore.head_async(self._store, place))["size"]
            except FileNotFoundError:
                return await self._size_by_reading(place)

    async def delete(self, key: str) -> None:
        place = self._place(key)
        with _mapped(f"cannot delete {key} from the bucket"):
            await obstore.delete_async(self._store, place)

    async def read_url(self, key: str, *, seconds: int) -> str | None:
        return await self._sign("GET", key, seconds)

    async def upload_url(self, key: str, *, job_id: str, seconds: int, max_bytes: int) -> str | None:
        return await self._sign("PUT", key, seconds)

    async def aclose(self) -> None:
        """The store's connections close with it."""

    def _place(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _new_copy(self, suffix: str) -> Path:
        if self._temporary is not None:
            self._temporary.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._temporary, suffix=suffix)
        os.close(descriptor)
        return Path(name)

    async def _download(self, place: str, copy: Path) -> None:
        answer = await obstore.get_async(self._store, place)
        file: IO[bytes] = await asyncio.to_thread(copy.open, "wb")
        try:
            async for chunk in answer.stream(min_chunk_size=_READ):
                await asyncio.to_thread(file.write, chunk)
        finally:
            await asyncio.to_thread(file.close)

    async def _size_by_reading(self, place: str) -> int | None:
        # The answer to HEAD has no body, so it cannot tell a missing object from a missing bucket; GET's can. Taking
        # the one for the other would make a wrong setting look like a video that never came.
        try:
            return (await obstore.get_async(self._store, place)).meta["size"]
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StorageError(f"there is no bucket {self._bucket!r}") from error
            return None

    async def _sign(self, method: str, key: str, seconds: int) -> str:
        place = self._place(key)
        life = timedelta(seconds=min(seconds, _LONGEST_LINK))
        with _mapped(f"cannot sign a link to {key}"):
            if method == "PUT":
                return await obstore.sign_async(self._store, "PUT", place, life)
            return await obstore.sign_async(self._store, "GET", place, life)


class _StaticCredentials:
    """The two configured halves, and never a session token from the environment."""

    def __init__(self, access_key_id: str, secret_access_key: SecretStr) -> None:
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key

    def __call__(self) -> "S3Credential":
        return {
            "access_key_id": self._access_key_id,
            "secret_access_key": self._secret_access_key.get_secret_value(),
            "token": None,
            "expires_at": None,
        }


def _is_plain(endpoint: str | None) -> bool:
    """Whether `endpoint` is http on loopback; ConfigError for http elsewhere and for what is no address."""
    if endpoint is None:
        return False
    parts = urlsplit(endpoint)
    if parts.scheme == "https" and parts.hostname:
        return False
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return True
    raise ConfigError(
        f"storage.s3.endpoint is {endpoint!r}: it must begin with https:// (http:// is for 127.0.0.1 only)"
    )


@contextmanager
def _mapped(trouble: str) -> Generator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        # The store's own words hold the whole answer of the server, over many lines.
        raise StorageError(f"{trouble}: {' '.join(str(error).split())[:400]}") from error
