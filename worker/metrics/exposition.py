"""The metrics in Prometheus's form: counts and what can be read now, put together when they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from worker.assembly import Assembly
from worker.metrics.names import METRICS
from worker.metrics.queue_depths import QueueDepths
from worker.metrics.state import State
from worker.metrics.tally import BOUNDS_SECONDS, Histogram, Series, Tally

BOUND_TEXTS: Final = (*(str(bound) for bound in BOUNDS_SECONDS), "+Inf")

Sample = tuple[Series, float]


def exposition(
    assembly: Assembly, state: State, depths: QueueDepths, version: str, name: str
) -> "Exposition":
    """The metrics of a process; `name` tells it from others in dashboards."""
    info: Sample = (("shardworker_info", version, name), 1)
    return Exposition(assembly.tally, lambda: [info, *gauges(assembly, state, depths)])


class Exposition(Collector):
    """A registry of the process's own: its counts, what `read` gives when asked, and the system's figures."""

    def __init__(self, tally: Tally, read: Callable[[], Iterable[Sample]]) -> None:
        self._tally = tally
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All metrics as they are now."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Family]:
        """Each metric of the list that has a value, with all its series."""
        samples: dict[str, list[Sample]] = {}
        for series, value in [*self._tally.counts().items(), *self._read()]:
            samples.setdefault(series[0], []).append((series, value))
        histograms: dict[str, list[tuple[Series, Histogram]]] = {}
        for series, histogram in self._tally.histograms().items():
            histograms.setdefault(series[0], []).append((series, histogram))
        for name in METRICS:
            if name in samples:
                yield _family(name, samples[name])
            elif name in histograms:
                yield _histogram_family(name, histograms[name])


def _family(name: str, samples: Sequence[Sample]) -> Family:
    metric = METRICS[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.meaning, labels=metric.labels)
    for series, value in samples:
        family.add_metric(series[1:], value)
    return family


def _histogram_family(name: str, histograms: Iterable[tuple[Series, Histogram]]) -> Family:
    metric = METRICS[name]
    family = HistogramMetricFamily(name, metric.meaning, labels=metric.labels)
    for series, histogram in histograms:
        buckets = list(zip(BOUND_TEXTS, accumulate(histogram.buckets), strict=True))
        family.add_metric(series[1:], buckets, histogram.sum)
    return family


def gauges(assembly: Assembly, state: State, depths: QueueDepths) -> Iterator[Sample]:
    """What is read when it is asked for, and costs nothing meanwhile."""
    yield from _of_process(assembly, state)
    yield from _of_lanes(assembly)
    yield from _of_queues(assembly, state, depths)
    yield ("shardworker_leases_extended_total",), assembly.leases.extended
    yield ("shardworker_leases_lost_total",), assembly.leases.lost
    yield ("shardworker_attachment_bytes",), assembly.fetcher.disk_bytes
    yield ("shardworker_attachment_bytes_max",), assembly.fetcher.disk_bytes_maximum


def _of_process(assembly: Assembly, state: State) -> Iterator[Sample]:
    yield ("shardworker_ready",), state.ready
    yield ("shardworker_moves",), state.moves
    yield ("shardworker_threads_hanging",), len(state.hanging())
    yield ("shardworker_threads_given_up",), len(assembly.work.given_up)
    yield ("shardworker_in_hand",), assembly.room.taken
    yield ("shardworker_in_hand_max",), assembly.room.capacity
    yield ("shardworker_oldest_in_hand_seconds",), state.oldest_seconds()
    yield ("shardworker_rate_limited_waiting",), assembly.limited.waiting()


def _of_lanes(assembly: Assembly) -> Iterator[Sample]:
    for shard, lane in assembly.lanes.status().items():
        yield ("shardworker_lane_waiting", shard), lane.waiting
        yield ("shardworker_lane_running", shard), lane.running
        yield ("shardworker_lane_away", shard), lane.away
        yield ("shardworker_breaker_openings_total", shard), lane.openings
    yield ("shardworker_servers_away",), len(assembly.lanes.away_servers())


def _of_queues(assembly: Assembly, state: State, depths: QueueDepths) -> Iterator[Sample]:
    away = state.queues_away()
    for receiver in assembly.receivers:
        yield ("shardworker_queue_away", receiver.queue_name, "request"), receiver.queue_name in away
    response = assembly.queues.outlets.response.name
    yield ("shardworker_queue_away", response, "response"), "results" in state.not_accepted()
    for place, depth in depths.latest.items():
        for meaning, count in depth._asdict().items():
            yield ("shardworker_queue_messages", *place, meaning), count
