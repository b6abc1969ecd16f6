"""The server's counters, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = [2**n for n in range(12)]


class Metrics:
    """Counters of one server.

    Args:
        repository: The `Repository` whose versions and queues are shown.
    """

    def __init__(self, repository):
        self._repository = repository
        self._registry = CollectorRegistry()
        self._counters = {}
        options = {"namespace": "mnist_rows", "registry": self._registry}
        self._requests = Counter(
            "requests", "Requests answered.", ["protocol", "model", "status"], **options
        )
        self._seconds = Histogram(
            "request_seconds", "Time to an answer.", ["protocol"], buckets=_SECONDS, **options
        )
        self._rows = Histogram(
            "batch_rows", "Rows in a batch.", ["model"], buckets=_ROWS, **options
        )
        self._states = Gauge(
            "version_state", "1 for the version's state.", ["model", "version", "state"], **options
        )
        waiting = Gauge("rows_waiting", "Rows that wait in a queue.", **options)
        waiting.set_function(lambda: sum(version.rows_waiting() for version in self._versions()))

    def on_batch(self, model, rows):
        """Count a batch and its rows."""
        self._rows.labels(model).observe(rows)

    def on_answer(self, protocol, model, status, seconds):
        """Count a request by its protocol (`rest` or `grpc`), its model and its status."""
        answer = protocol, model, status
        if answer not in self._counters:  # Cached, because `labels` is slow.
            self._counters[answer] = (
                self._requests.labels(*answer),
                self._seconds.labels(protocol),
            )
        requests, times = self._counters[answer]
        requests.inc()
        times.observe(seconds)

    def text(self):
        """All counters in Prometheus's text format, as bytes."""
        self._states.clear()
        for version in self._versions():
            self._states.labels(version.model, version.number, version.state_name).set(1)
        return generate_latest(self._registry)

    def _versions(self):
        return [version for versions in self._repository.models().values() for version in versions]
