"""A journey for each test, or one bot for all the tests of a module that need no restart."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

pytest.register_assert_rewrite("journey")

from journey import Journey, Place  # noqa: E402  only a module that comes later is rewritten


@pytest.fixture
async def journey(tmp_path: Path) -> AsyncIterator[Journey]:
    """A journey whose bot is not started yet, so that a test can set what it needs first."""
    made = Journey(tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _module_journey(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Journey]:
    made = Journey(tmp_path_factory.mktemp("journey"))
    try:
        await made.open()
        await made.start(**getattr(request.module, "SETTINGS", {}))
        yield made
        assert await made.stop() == 0
    finally:
        await made.close()


@pytest.fixture
def shared(_module_journey: Journey) -> Journey:
    """The module's own running bot; a test that uses it makes its own place."""
    return _module_journey


@pytest.fixture
def place(shared: Journey) -> Place:
    """A new server of the module's bot."""
    return shared.place()


@pytest.fixture(autouse=True)
def _promises(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every walk: Discord was never sent anything wrong, nobody paid twice, and nothing private leaked."""
    name = next((name for name in ("journey", "shared") if name in request.fixturenames), None)
    walked: Journey | None = request.getfixturevalue(name) if name else None
    if walked is not None:
        walked.begin()
    yield
    if walked is not None:
        walked.check()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed walk shows the bot's log."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    funcargs = getattr(item, "funcargs", {})
    walked = funcargs.get("journey") or funcargs.get("shared")
    if report.failed and isinstance(walked, Journey):
        report.sections.append(("the bot's log", walked.log[-20_000:]))
