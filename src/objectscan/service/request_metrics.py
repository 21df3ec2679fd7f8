"""Counts and times of requests, for `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class RequestMetrics:
    """One process's own registry: the library's global one would count tests together."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "objectscan_http_requests", "Requests by route, method and status.",
            ("route", "method", "status"), registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "objectscan_http_request_seconds", "Time from the head of a request to the head of its answer.",
            ("route",), registry=self.registry,
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0),
        )  # fmt: skip

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            route: As it is declared, `/v1/jobs/{job_id}`: paths with ids would grow for ever.
            method: GET and so on.
            status: Of the answer.
            seconds: See the metric.
        """
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
