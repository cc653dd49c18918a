"""Auto Scaling on moto's server, with the two calls that it lacks, and a count of all calls."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import boto3
from botocore.config import Config
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.server import ThreadedMotoServer

from tests.support.imds import REGION

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.client import AutoScalingClient

GROUP: Final = "workers"
HOOK: Final = "shardworker-drain"
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
BROKEN: Final = "broken"
COUNTED: Final = (
    "describe_auto_scaling_instances",
    "describe_lifecycle_hooks",
    "set_instance_protection",
    "record_lifecycle_action_heartbeat",
    "complete_lifecycle_action",
)


@dataclass
class AutoScalingSite:
    """A group with one machine. `faults` are the error codes that the next calls of an action end with.

    With `broken` for a code the answer is a page of HTML, as a load balancer's.
    """

    endpoint_url: str
    calls: Counter[str] = field(default_factory=Counter)
    completed: list[dict[str, Any]] = field(default_factory=list)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    instance_id: str = ""

    def client(self) -> "AutoScalingClient":
        """A client of the test's own; its calls are counted as well."""
        return boto3.session.Session(
            region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        ).client(
            "autoscaling", endpoint_url=self.endpoint_url, config=Config(retries={"total_max_attempts": 1})
        )

    def make_group(self) -> None:
        """The group and its one machine, in service."""
        client = self.client()
        client.create_launch_configuration(
            LaunchConfigurationName="plain", ImageId="ami-12c6146b", InstanceType="t3.micro"
        )
        client.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchConfigurationName="plain",
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=1,
            AvailabilityZones=[f"{REGION}a"],
        )
        (instance,) = client.describe_auto_scaling_instances()["AutoScalingInstances"]
        self.instance_id = instance["InstanceId"]
        client.close()

    def forget(self) -> None:
        """What was called, and which faults are left."""
        for seen in (self.calls, self.completed, self.heartbeats, self.faults):
            seen.clear()

    def add_hook(
        self, name: str = HOOK, *, heartbeat_seconds: int = 30, transition: str = "TERMINATING"
    ) -> None:
        """A lifecycle hook."""
        client = self.client()
        client.put_lifecycle_hook(
            AutoScalingGroupName=GROUP,
            LifecycleHookName=name,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
            HeartbeatTimeout=heartbeat_seconds,
        )
        client.close()

    def is_protected(self) -> bool:
        """Whether the machine is protected from scale-in."""
        client = self.client()
        (instance,) = client.describe_auto_scaling_instances()["AutoScalingInstances"]
        client.close()
        return instance["ProtectedFromScaleIn"]

    def environment(self) -> dict[str, str]:
        """What a watcher's process needs to find it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_AUTO_SCALING": self.endpoint_url}


@contextmanager
def auto_scaling_site() -> Iterator[AutoScalingSite]:
    """Moto's server with a group, for as long as the `with` block."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    site = AutoScalingSite(f"http://{host}:{port}")
    reset(site.endpoint_url)
    with _watched(site):
        site.make_group()
        site.calls.clear()
        yield site
    server.stop()


def reset(endpoint_url: str) -> None:
    """Forget what earlier tests in this process left in moto."""
    import urllib.request

    request = urllib.request.Request(f"{endpoint_url}/moto-api/reset", method="POST")  # noqa: S310  # our own
    urllib.request.urlopen(request).close()  # noqa: S310  # our own


@contextmanager
def _watched(site: AutoScalingSite) -> Iterator[None]:
    def complete(self: AutoScalingResponse) -> ActionResult:
        site.completed.append(_asked(self))
        return ActionResult({})

    def heartbeat(self: AutoScalingResponse) -> ActionResult:
        site.heartbeats.append(_asked(self))
        return ActionResult({})

    added: dict[str, Callable[..., Any]] = {
        "complete_lifecycle_action": complete,
        "record_lifecycle_action_heartbeat": heartbeat,
    }
    lock = threading.Lock()
    patches = [
        patch.object(
            AutoScalingResponse, name, _counted(site, name, added.get(name), lock), create=name in added
        )
        for name in COUNTED
    ]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def _counted(
    site: AutoScalingSite, name: str, body: Callable[..., Any] | None, lock: threading.Lock
) -> Callable[..., Any]:
    do = body or getattr(AutoScalingResponse, name)

    def call(self: AutoScalingResponse) -> Any:
        with lock:
            site.calls[name] += 1
            faults = site.faults.get(name)
            fault = faults.pop(0) if faults else None
        if fault == BROKEN:
            raise RuntimeError("a fault of the test's")
        if fault is not None:
            raise AutoscalingClientError(fault, "a fault of the test's")
        return do(self)

    return call


def _asked(response: AutoScalingResponse) -> dict[str, Any]:
    names = ("AutoScalingGroupName", "LifecycleHookName", "InstanceId", "LifecycleActionResult")
    return {name: value for name in names if (value := response._get_param(name)) is not None}
