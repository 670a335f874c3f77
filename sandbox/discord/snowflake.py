"""Discord's ids: 64 bits, the milliseconds since 2015 in the upper 42."""

from collections.abc import Callable

EPOCH_MS = 1_420_070_400_000


class Snowflakes:
    """Gives ids in strictly rising order, even if the clock stands still."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        now = (int(self._clock() * 1000) - EPOCH_MS) << 22
        self._last = max(self._last + 1, now)
        return self._last

    def next_millisecond(self) -> int:
        """An id whose time part is new, so that guilds made one after the other spread over the shards."""
        self._last = max(((self._last >> 22) + 1) << 22, (int(self._clock() * 1000) - EPOCH_MS) << 22)
        return self._last


def shard_of(guild_id: int, shards: int) -> int:
    """Discord: Sharding. `(guild_id >> 22) % num_shards`."""
    return (guild_id >> 22) % shards
