"""Discord's rate limits: a bucket for every route and major parameter, 50 requests a second in all, and the ban."""

import hashlib
import time
from collections import deque
from dataclasses import dataclass, field

GLOBAL_PER_SECOND = 50
INVALID_LIMIT = 10_000
INVALID_WINDOW = 600.0  # seconds
INVALID_STATUSES = frozenset({401, 403, 429})


@dataclass(frozen=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int
    seconds: float

    def bucket(self, route: str) -> str:
        """The name that `X-RateLimit-Bucket` gives this limit of this route."""
        return hashlib.md5(route.encode(), usedforsecurity=False).hexdigest()


@dataclass
class _Window:
    started: float
    used: int = 0


@dataclass
class Verdict:
    """The headers for the answer, and after how many seconds to try again if it is refused."""

    headers: dict[str, str]
    retry_after: float = 0.0
    whole_bot: bool = False


@dataclass
class RateLimits:
    """Counts requests. Windows are fixed: they start with their first request, as Discord's do."""

    enabled: bool = True
    global_per_second: int = GLOBAL_PER_SECOND
    invalid_limit: int = INVALID_LIMIT
    _windows: dict[tuple[str, str], _Window] = field(default_factory=dict)
    _global: _Window = field(default_factory=lambda: _Window(0.0))
    _invalid: deque[float] = field(default_factory=deque)

    def take(self, route: str, major: str, limit: Limit, *, counts_globally: bool) -> Verdict:
        """Counts one request of a route against its bucket and the global limit."""
        if not self.enabled:
            return Verdict({})
        now = time.monotonic()
        if counts_globally and (wait := self._take_global(now)) > 0:
            headers = {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global", "Retry-After": f"{wait:.3f}"}
            return Verdict(headers, wait, whole_bot=True)
        key = (route, major)
        window = self._windows.get(key)
        if window is None or now - window.started >= limit.seconds:
            self._forget_old(now)
            window = self._windows[key] = _Window(now)
        window.used += 1
        wait = max(0.001, window.started + limit.seconds - now)
        headers = {
            "X-RateLimit-Limit": str(limit.requests),
            "X-RateLimit-Remaining": str(max(0, limit.requests - window.used)),
            "X-RateLimit-Reset": f"{time.time() + wait:.3f}",
            "X-RateLimit-Reset-After": f"{wait:.3f}",
            "X-RateLimit-Bucket": limit.bucket(route),
        }
        if window.used <= limit.requests:
            return Verdict(headers)
        return Verdict(headers | {"X-RateLimit-Scope": "user", "Retry-After": f"{wait:.3f}"}, wait)

    def _take_global(self, now: float) -> float:
        if now - self._global.started >= 1.0:
            self._global = _Window(now)
        self._global.used += 1
        return self._global.started + 1.0 - now if self._global.used > self.global_per_second else 0.0

    def _forget_old(self, now: float) -> None:
        if len(self._windows) > 2000:
            self._windows = {key: w for key, w in self._windows.items() if now - w.started < 60}

    def count_answer(self, status: int) -> None:
        """Counts invalid requests (Discord: 401, 403 and 429; 10,000 in 10 minutes ban the address)."""
        if status in INVALID_STATUSES:
            self._invalid.append(time.monotonic())

    @property
    def invalid_requests(self) -> int:
        """Invalid requests of the last 10 minutes."""
        while self._invalid and self._invalid[0] < time.monotonic() - INVALID_WINDOW:
            self._invalid.popleft()
        return len(self._invalid)

    @property
    def banned(self) -> bool:
        return self.invalid_requests >= self.invalid_limit
