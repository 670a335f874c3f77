"""The queue against a reference model of a few lines, driven at random by hypothesis."""

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.errors import LineFull, OverBudget
from bot.store.database import Database
from bot.store.jobs import Jobs
from bot.store.records import Settled, State
from bot.store.tables import jobs as job_rows
from bot.store.tables import lane_members, lanes, ledger, spending
from tests.bot.parts import empty_database
from tests.bot.store.queues import Clock, Queue, limits, new_job, url_of

GUILD_RUNNING, USER_RUNNING, GUILD_WAITING, USER_WAITING, BUDGET = 2, 1, 4, 3, 1_500
ARROWS = {
    (None, "queued"), ("queued", "submitted"), ("queued", "cancelled"), ("submitted", "queued"),
    ("submitted", "rendered"), ("submitted", "failed"), ("rendered", "posted"), ("rendered", "failed"),
}  # fmt: skip
KEPT = {"queued": "reserved", "submitted": "reserved", "rendered": "charged", "posted": "charged"}


@dataclass
class Known:
    """A job as the model knows it. `age` orders by acceptance."""

    guild: int
    user: int
    age: int
    price: int
    state: str = "queued"
    ready: bool = True
    due: int = 0
    money: str = "reserved"


class Model(dict[str, Known]):
    """The reference: which jobs run and wait, and who is next."""

    def __init__(self) -> None:
        super().__init__()
        self.lane_turn: dict[int, int] = {}
        self.member_turn: dict[tuple[int, int], int] = {}
        self.turn = 0

    def count(self, *states: str, **who: int) -> int:
        return sum(
            job.state in states and all(getattr(job, name) == value for name, value in who.items())
            for job in self.values()
        )

    def next(self) -> str | None:
        free = [
            (self.lane_turn[job.guild], self.member_turn[job.guild, job.user], job.age, name)
            for name, job in self.items()
            if job.state == "queued" and job.ready
            and self.count("submitted", "rendered", guild=job.guild) < GUILD_RUNNING
            and self.count("submitted", "rendered", guild=job.guild, user=job.user) < USER_RUNNING
        ]  # fmt: skip
        return min(free)[-1] if free else None

    def serve(self, name: str) -> None:
        self.turn += 1
        job = self[name]
        job.state, job.ready = "submitted", False
        self.lane_turn[job.guild] = self.member_turn[job.guild, job.user] = self.turn


class QueueMachine(RuleBasedStateMachine):
    """Each operation on both; after each, the tables must say what the model says."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.clock = Clock()
        self.model = Model()
        self.seen: dict[str, str | None] = {}
        path = Path(self.folder.name) / "cinecord.db"
        path.write_bytes(empty_database())
        database = Database(url_of(path))
        chosen = limits(
            per_guild_running=GUILD_RUNNING,
            per_user_running=USER_RUNNING,
            per_guild_waiting=GUILD_WAITING,
            per_user_waiting=USER_WAITING,
        )
        self.queue = Queue(Jobs(database, chosen, monthly_limit=BUDGET, clock=self.clock), database, self.clock)
        self.jobs = self.queue.jobs

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.queue.database.close())
            self.runner.close()
            self.folder.cleanup()

    def pick(self, data: st.DataObject, *states: str) -> str:
        return data.draw(st.sampled_from(sorted(name for name, job in self.model.items() if job.state in states)))

    def have(self, *states: str) -> bool:
        return hasattr(self, "model") and self.model.count(*states) > 0

    # --- operations

    @rule(guild=st.integers(1, 2), user=st.integers(1, 2), price=st.sampled_from([0, 100, 350]))
    def accept(self, guild: int, user: int, price: int) -> None:
        model = self.model
        full = (
            model.count("queued", guild=guild, user=user) >= USER_WAITING
            or model.count("queued", guild=guild) >= GUILD_WAITING
        )
        poor = sum(job.price for job in model.values() if job.money != "released") + price > BUDGET
        try:
            job = self.run(self.jobs.accept(new_job(user, guild, price=price))).job
        except LineFull:
            assert full
            return
        except OverBudget:
            assert poor
            assert not full
            return
        assert not full
        assert not poor
        model[job.id] = Known(guild, user, len(model), price)
        model.lane_turn.setdefault(guild, len(model.lane_turn) - 10)
        model.member_turn.setdefault((guild, user), len(model.member_turn) - 10)

    @rule()
    def claim(self) -> None:
        job = self.run(self.jobs.claim(room=1))
        assert (job.id if job else None) == self.model.next()
        if job:
            self.model.serve(job.id)

    @precondition(lambda self: self.have("submitted"))
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.05, 5.0]))
    def requeue(self, data: st.DataObject, delay: float) -> None:
        name = self.pick(data, "submitted")
        assert self.run(self.jobs.requeue(name, delay=delay))
        job = self.model[name]
        job.state, job.ready, job.due = "queued", False, self.clock.now + int(delay * 1000)

    @rule(milliseconds=st.sampled_from([0, 60, 6000]))
    def wake(self, milliseconds: int) -> None:
        self.clock.now += milliseconds
        self.run(self.jobs.wake_delayed())
        for job in self.model.values():
            if job.state == "queued" and not job.ready and job.due <= self.clock.now:
                job.ready = True

    @precondition(lambda self: self.have("submitted"))
    @rule(data=st.data())
    def render(self, data: st.DataObject) -> None:
        name = self.pick(data, "submitted")
        job = self.run(self.jobs.get(name))
        assert self.run(self.jobs.rendered(job.id, size=1000)) is not None
        self.model[name].state, self.model[name].money = "rendered", "charged"

    @precondition(lambda self: self.have("rendered"))
    @rule(data=st.data())
    def post(self, data: st.DataObject) -> None:
        name = self.pick(data, "rendered")
        assert self.run(self.jobs.posted(name, channel_id=1, message_id=1)) is not None
        self.model[name].state = "posted"

    @precondition(lambda self: self.have("submitted", "rendered"))
    @rule(data=st.data(), settled=st.sampled_from(Settled))
    def fail(self, data: st.DataObject, settled: Settled) -> None:
        name = self.pick(data, "submitted", "rendered")
        job = self.model[name]
        assert self.run(self.jobs.fail(name, State(job.state), reason="x", text="x", settled=settled)) is not None
        job.money = settled.value if job.state == "submitted" else "charged"
        job.state = "failed"

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model))) if self.model else "nothing"
        waiting = name in self.model and self.model[name].state == "queued"
        assert (self.run(self.jobs.cancel(name)) is not None) == waiting
        if waiting:
            job = self.model[name]
            job.state, job.money, job.ready = "cancelled", "released", False

    # --- what always holds

    @invariant()
    def the_table_says_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = {row["id"]: row for row in self.run(self.queue.rows(job_rows))}
        assert {name: row["state"] for name, row in rows.items()} == {n: job.state for n, job in self.model.items()}
        for name, row in rows.items():
            before = self.seen.get(name)
            assert before == row["state"] or (before, row["state"]) in ARROWS
            self.seen[name] = row["state"]
        self.running_is_within_limits(rows)
        self.counts_are_true(rows)
        self.money_is_true()

    def running_is_within_limits(self, rows: dict[str, Any]) -> None:
        running = [row for row in rows.values() if row["state"] in {"submitted", "rendered"}]
        assert max(Counter(row["guild_id"] for row in running).values(), default=0) <= GUILD_RUNNING
        members = Counter((row["guild_id"], row["user_id"]) for row in running)
        assert max(members.values(), default=0) <= USER_RUNNING

    def counts_are_true(self, rows: dict[str, Any]) -> None:
        waiting = [row for row in rows.values() if row["state"] == "queued"]
        for table, key in ((lanes, ("guild_id",)), (lane_members, ("guild_id", "user_id"))):
            counted = Counter(tuple(row[name] for name in key) for row in waiting)
            ready = Counter(tuple(row[name] for name in key) for row in waiting if row["ready"])
            for row in self.run(self.queue.rows(table)):
                place = tuple(row[name] for name in key)
                assert (row["waiting"], row["ready"]) == (counted.pop(place, 0), ready[place])
            assert not counted
        # What was accepted is within the limits; what came back into line may pass them by what can run.
        per_member = Counter((row["guild_id"], row["user_id"]) for row in waiting)
        assert max(per_member.values(), default=0) <= USER_WAITING + USER_RUNNING

    def money_is_true(self) -> None:
        entries = self.run(self.queue.rows(ledger))
        assert {row["job_id"]: row["state"] for row in entries} == {n: job.money for n, job in self.model.items()}
        total = sum(row["amount"] for row in entries if row["state"] != "released")
        assert sum(row["amount"] for row in self.run(self.queue.rows(spending))) == total <= BUDGET


QueueMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestQueueModel = QueueMachine.TestCase
