"""Builds what the demo runs on: configuration, queues, inboxes, customers' tables; and sends the messages."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from config.load import load_settings
from config.settings import Settings
from shards.engines import Shards
from shards.inbox import create_inbox
from shards.sample import create_tables
from worker.demo.cast import SHARDS, shard_of
from worker.demo.configuration import configuration
from worker.demo.desk import EARLIER_ORDERS
from worker.demo.failures import DemoFailed
from worker.demo.place import Place
from worker.demo.stream import Sent
from worker.transports.base import Message, Transport
from worker.transports.factory import open_transport


def build(place: Place) -> Settings:
    """Write the configuration and create what it names; the settings that the worker will read."""
    _write_privately(place.config, configuration(place))
    if place.queues.password is not None:
        _write_privately(place.password, place.queues.password)
    settings = load_settings(place.config, {}).settings
    queues = settings.queues
    for url in (*queues.request, queues.response, queues.failure):
        with closing(open_transport(url, queues, settings.worker.lease)) as queue:
            queue.create()
    with closing(Shards(settings.shards)) as shards:
        for name in SHARDS:
            create_inbox(shards.get(name), None)
            earlier = [key for key in EARLIER_ORDERS if shard_of(key.customer_id) == name]
            create_tables(shards.get(name), earlier)
    return settings


def _write_privately(path: Path, text: str) -> None:
    # a database's URL may hold a password as well
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def send(queue: Transport, stream: Sequence[Sent]) -> None:
    """Put all messages on the queue; raises `DemoFailed` if it does not take one."""
    faults = queue.send([Message(body=sent.body) for sent in stream])
    if faults:
        position, fault = next(iter(faults.items()))
        raise DemoFailed(f"The queue did not take message {position}: {fault.message}")
