"""What /metrics says: jobs by outcome, seconds of render, and what is waiting and running."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry a service, so that two in one process (tests) do not share figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = Counter("cinecord_jobs", "Jobs that ended, by state.", ["state"], registry=self.registry)
        self.accepted = Counter(
            "cinecord_accepted", "Jobs accepted, by operation.", ["operation"], registry=self.registry
        )
        self.refused = Counter("cinecord_refused", "Requests refused, by error.", ["error"], registry=self.registry)
        self.running = Gauge("cinecord_running", "Jobs at work in this process.", registry=self.registry)
        self.render_seconds = Histogram(
            "cinecord_render_seconds",
            "From the paid call to the video in storage.",
            buckets=(5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 600, 900),
            registry=self.registry,
        )
