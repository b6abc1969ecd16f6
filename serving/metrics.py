"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Counters of one server.

    Args:
        repository: The `Repository` whose versions and queues are shown.
    """

    def __init__(self, repository):
        self._repository = repository
        self._registry = CollectorRegistry()
        of_request = ["protocol", "model", "status"]
        self._requests = self._made(Counter, "requests", "Requests answered.", of_request)
        self._seconds = self._made(
            Histogram, "request_seconds", "From a request's body to its answer.", ["protocol"],
            buckets=_SECONDS,
        )  # fmt: skip
        self._rows = self._made(
            Histogram, "batch_rows", "Images answered together.", ["model"],
            buckets=[2**n for n in range(12)],
        )  # fmt: skip
        waiting = self._made(Gauge, "rows_waiting", "Images that wait for their turn.", [])
        waiting.set_function(lambda: sum(version.rows_waiting() for version in self._versions()))
        self._states = self._made(Gauge, "version_state", "1 for what it is.", [
            "model", "version", "state",
        ])  # fmt: skip

    def _made(self, kind, name, help, labels, **options):
        return kind(f"mnist_rows_{name}", help, labels, registry=self._registry, **options)

    def _versions(self):
        return [version for versions in self._repository.models().values() for version in versions]

    def on_batch(self, model, rows):
        """Count a batch of so many rows."""
        self._rows.labels(model).observe(rows)

    def on_answer(self, protocol, model, status, seconds):
        """Count a request: `rest` or `grpc`, its model, the status it was answered with."""
        self._requests.labels(protocol, model, status).inc()
        self._seconds.labels(protocol).observe(seconds)

    def text(self):
        """All of them in Prometheus's text format, as bytes."""
        self._states.clear()
        for version in self._versions():
            self._states.labels(version.model, version.number, version.state_name).set(1)
        return generate_latest(self._registry)
