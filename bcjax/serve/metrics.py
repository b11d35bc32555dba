"""The figures of a service, for Prometheus: each service has a registry of its own."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from bcjax.serve.service import Service

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters and histograms, and the page that Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        about: dict[str, Any] = {"namespace": "bcjax", "registry": self.registry}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter("requests", "Requests.", ["route", "status"], **about)
        self._seconds = Histogram(
            "request_seconds", "From head to answer.", ["route"], buckets=_SECONDS, **about
        )
        self._pictures = Counter("pictures", "Pictures.", ["model", "outcome"], **about)
        self._labels = Counter("labels", "Answers by label.", ["model", "label"], **about)
        self._marked = Counter(
            "marked", "Answers marked uncertain or outlier.", ["model", "mark"], **about
        )
        self._batches = Histogram(
            "batch_pictures", "Pictures answered at once.", buckets=_PICTURES, **about
        )
        self._inference = Histogram(
            "inference_seconds", "Time of a batch.", buckets=_SECONDS, **about
        )
        self._reloads = Counter("reloads", "Newer checkpoints.", ["model", "outcome"], **about)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, pictures: int, seconds: float) -> None:
        self._batches.observe(pictures)
        self._inference.observe(seconds)

    def count_answers(self, model: str, answers: Sequence[Any]) -> None:
        for answer in answers:
            label = getattr(answer, "label", None)
            self._pictures.labels(model, "unreadable" if label is None else "answered").inc()
            if label is None:
                continue
            self._labels.labels(model, label).inc()
            for mark in ("uncertain", "outlier"):
                if getattr(answer, mark):
                    self._marked.labels(model, mark).inc()

    def count_reload(self, model: str, *, failed: bool) -> None:
        self._reloads.labels(model, "failed" if failed else "done").inc()

    def watch(self, service: "Service") -> None:
        """Adds what is read off the service when the page is asked for."""
        self.registry.register(_Now(service))

    def page(self) -> bytes:
        """Returns the page in Prometheus's text format."""
        return generate_latest(self.registry)


class _Now(Collector):
    def __init__(self, service: "Service"):
        self._service = service

    def describe(self) -> Iterable[Any]:
        return ()

    def collect(self) -> Iterator[Any]:
        service = self._service
        yield GaugeMetricFamily(
            "bcjax_queue_pictures", "Pictures inside: decoded, waiting, answered.", service.waiting
        )
        yield GaugeMetricFamily(
            "bcjax_queue_capacity", "Pictures that there is room for.", service.settings.queue
        )
        models = GaugeMetricFamily(
            "bcjax_model", "1 for what answers now.", labels=["model", "checkpoint", "backend"]
        )
        for name, run in service.runs.items():
            models.add_metric([name, str(run.loaded.step), run.loaded.backend], 1)
        yield models
