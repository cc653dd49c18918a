"""EC2 Auto Scaling through boto3: the machine's group, its hooks, heartbeats, completion, protection."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.client import AutoScalingClient

CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 5
CALL_SECONDS: Final = CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS
TERMINATING: Final = "autoscaling:EC2_INSTANCE_TERMINATING"
CONTINUE: Final = "CONTINUE"
HEARTBEAT_TIMEOUT_DEFAULT: Final = timedelta(hours=1)
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


class AutoScalingFault(Exception):
    """A call failed. `is_refusal`: the service understood and refused, which a repetition may not change."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_refusal(self) -> bool:
        """Such as: there is no such hook, or nothing waits for it at the moment."""
        return self.code == "ValidationError"


class Membership(NamedTuple):
    """The group that the machine is in, and whether it is protected from scale-in."""

    group: str
    is_protected: bool


class Hook(NamedTuple):
    """A lifecycle hook of the group for machines that leave."""

    group: str
    name: str
    heartbeat_timeout: timedelta


class AutoScaling:
    """The calls for one instance. Each is tried once and takes `CALL_SECONDS` at most."""

    def __init__(self, instance_id: str, region: str) -> None:
        self._instance_id = instance_id
        self._region = region

    def membership(self) -> Membership | None:
        """The instance's group; None if it is in none. Raises `AutoScalingFault`, as all calls here do."""
        with _faults("autoscaling:DescribeAutoScalingInstances"):
            answer = self._client.describe_auto_scaling_instances(InstanceIds=[self._instance_id])
        for instance in answer["AutoScalingInstances"]:
            return Membership(instance["AutoScalingGroupName"], instance["ProtectedFromScaleIn"])
        return None

    def hooks(self, group: str) -> list[Hook]:
        """The group's hooks for instances that leave."""
        with _faults("autoscaling:DescribeLifecycleHooks"):
            answer = self._client.describe_lifecycle_hooks(AutoScalingGroupName=group)
        return [
            Hook(group, hook["LifecycleHookName"], _heartbeat_timeout(hook.get("HeartbeatTimeout")))
            for hook in answer["LifecycleHooks"]
            if hook.get("LifecycleTransition") == TERMINATING
        ]

    def record_heartbeat(self, hook: Hook) -> None:
        """Let the hook's timeout begin anew."""
        with _faults("autoscaling:RecordLifecycleActionHeartbeat"):
            self._client.record_lifecycle_action_heartbeat(
                AutoScalingGroupName=hook.group,
                LifecycleHookName=hook.name,
                InstanceId=self._instance_id,
            )

    def complete(self, hook: Hook) -> None:
        """Let the instance go: the hook need not wait any longer."""
        with _faults("autoscaling:CompleteLifecycleAction"):
            self._client.complete_lifecycle_action(
                AutoScalingGroupName=hook.group,
                LifecycleHookName=hook.name,
                InstanceId=self._instance_id,
                LifecycleActionResult=CONTINUE,
            )

    def protect(self, group: str, *, wanted: bool) -> None:
        """Protect the instance from scale-in, or let it be chosen again."""
        with _faults("autoscaling:SetInstanceProtection"):
            self._client.set_instance_protection(
                AutoScalingGroupName=group, InstanceIds=[self._instance_id], ProtectedFromScaleIn=wanted
            )

    @cached_property
    def _client(self) -> "AutoScalingClient":
        import boto3.session
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
            user_agent="shardworker",
        )
        return boto3.session.Session(region_name=self._region).client("autoscaling", config=config)


def _heartbeat_timeout(seconds: int | None) -> timedelta:
    return timedelta(seconds=seconds) if seconds else HEARTBEAT_TIMEOUT_DEFAULT


@contextmanager
def _faults(action: str) -> Iterator[None]:
    """Turn every failure of a call into an `AutoScalingFault`; `action` is what IAM calls it."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        details: Any = error.response.get("Error", {})
        code = str(details.get("Code") or "unknown")
        raise AutoScalingFault(code, f"{action} was answered with {_told(code, details)}") from error
    except (BotoCoreError, ResponseParserError) as error:
        code = type(error).__name__
        raise AutoScalingFault(code, f"{action} could not be called ({code})") from error


def _told(code: str, details: Any) -> str:
    if code in DENIED:
        return f"{code}: allow it to the role of the machine"
    return f"{code}: {details.get('Message') or 'no more was said'}"
