"""An EC2 machine that has to go, under load: the installed units in a real systemd, and fake metadata."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.support.auto_scaling import GROUP, HOOK, AutoScalingSite, auto_scaling_site
from tests.support.imds import SPOT, FakeMetadata
from tests.support.listed_lines import assert_listed
from tests.support.systemd_world import STATE_DIRECTORY, SystemdWorld, unit
from tests.support.world import CUSTOMERS, job
from tests.systemd.conftest import MakeWorld

# The first one also installs the worker.
pytestmark = pytest.mark.timeout(300)

WATCHER: Final = "shardworker-ec2.service"
DROP_IN: Final = f"/run/systemd/system/{WATCHER}.d/world.conf"
INSTANCES: Final = (1, 2)
JOBS: Final = 30
WORKED: Final = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}

MakeMachine = Callable[..., "Machine"]


class Machine:
    """Two enabled instances and the watcher: all commands, users and sandboxes are the units' own."""

    def __init__(self, world: SystemdWorld, metadata: FakeMetadata, group: AutoScalingSite) -> None:
        self.world, self.metadata, self.group = world, metadata, group
        self.asked = {
            "AutoScalingGroupName": GROUP,
            "LifecycleHookName": HOOK,
            "InstanceId": group.instance_id,
        }
        metadata.values["instance-id"] = group.instance_id
        metadata.aim_at("InService")
        variables = {
            **group.environment(),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint_url,
            "SHARDWORKER__WORKER__STATE_DIRECTORY": STATE_DIRECTORY,
        }
        directory = world.world.directory
        lines = [
            "[Service]",
            f"BindReadOnlyPaths={directory}",
            f"Environment=SHARDWORKER_CONFIG={directory}/config.toml",
            *(f"Environment={name}={value}" for name, value in variables.items()),
        ]
        world.box.write(DROP_IN, "\n".join([*lines, ""]))

    def start(self) -> None:
        """As an operator does, but for `enable` of all in one command."""
        self.world.give_away()
        box = self.world.box
        box.run("systemctl", "daemon-reload")
        names = ["shardworker.target", *map(unit, INSTANCES), WATCHER]
        box.run("systemctl", "enable", "--now", "--quiet", *names)
        self.wait_for_event("ec2.watching")

    def send_load(self) -> list[str]:
        """Jobs of which some are done, one runs until it is let, and many wait."""
        quick = [
            job(f"job-{number}", [CUSTOMERS[number % 3]], rows=[{"order_no": 100 + number}])
            for number in range(JOBS)
        ]
        slow = slow_job(self.world.world, "slow", ["c-0"], 1)
        self.world.world.send(*quick[: JOBS // 2], slow, *quick[JOBS // 2 :])
        wait_for_start(self.world.world)
        return ["slow", *(one["job_id"] for one in quick)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The watcher's lines of one event."""
        return self.world.events(WATCHER, name)

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """The first line of an event, when it is there."""
        return self.world.wait_for_event(WATCHER, name)

    def states(self) -> list[dict[str, str]]:
        """How the instances stand."""
        return [self.world.box.show(unit(one), *WORKED) for one in INSTANCES]

    def assert_nothing_lost_or_doubled(self, jobs: list[str]) -> None:
        """Each row once, one answer each, nothing counted; once all is settled."""
        world = self.world.world
        world.wait_until_settled()
        assert sorted(number for number, _ in world.rows()) == [1, *range(100, 100 + JOBS)]
        assert sorted(result["job_id"] for result in world.results()) == sorted(jobs)
        assert {result["status"] for result in world.results()} == {"succeeded"}
        assert world.dead_letters() == []
        assert [row["attempt"] for one in jobs for row in world.inbox(one)] == [0] * len(jobs)

    def close(self) -> None:
        """End the watcher, and take back what was enabled."""
        box = self.world.box
        assert_listed(self.world.log(WATCHER))
        box.run(
            "systemctl", "disable", "--now", "--quiet", WATCHER, "shardworker.target", *map(unit, INSTANCES)
        )
        box.path(DROP_IN).unlink()
        box.run("systemctl", "daemon-reload")


@pytest.fixture(name="make_machine")
def machines(make_world: MakeWorld) -> Iterator[MakeMachine]:
    """Makes the machine, in service and at work; `more` goes into its section `[ec2]`."""
    made: list[Machine] = []
    with auto_scaling_site() as group, FakeMetadata() as metadata:
        group.add_hook()

        def make(more: str = "", **options: str) -> Machine:
            ec2 = f'[ec2]\nlook_interval = "200ms"\n{more}\n'
            made.append(Machine(make_world(extra=ec2, **options), metadata, group))
            made[0].start()
            return made[0]

        yield make
        for machine in made:
            machine.close()


def test_a_scale_in_under_load_waits_for_the_drain_and_loses_nothing(make_machine: MakeMachine) -> None:
    """Heartbeats while a job runs; the hook is completed when both instances have drained, and not before.

    What had not begun is done when instances start again, on this machine or another.
    """
    machine = make_machine()
    jobs = machine.send_load()
    machine.metadata.aim_at("Terminated")
    machine.wait_for_event("ec2.heartbeat")
    assert machine.states()[0] != WORKED or machine.states()[1] != WORKED
    assert machine.group.completed == []
    go_on(machine.world.world)
    machine.wait_for_event("ec2.hook_completed")

    assert machine.states() == [WORKED, WORKED]
    assert machine.group.heartbeats[0] == machine.asked
    assert machine.group.completed == [{**machine.asked, "LifecycleActionResult": "CONTINUE"}]
    assert machine.events("ec2.command_failed") == []
    machine.world.start(1)
    machine.assert_nothing_lost_or_doubled(jobs)


def test_a_spot_notice_amid_a_scale_in_hurries_the_instances_and_the_hook_is_completed(
    make_machine: MakeMachine,
) -> None:
    """What waits for a long job gives it back in time; the machine goes, and another does the job."""
    machine = make_machine('release_margin = "118s"', drain="10m")
    jobs = machine.send_load()
    machine.metadata.aim_at("Terminated")
    machine.wait_for_event("ec2.heartbeat")
    assert machine.events("ec2.hurried") == []
    machine.metadata.announce_interruption(datetime.now(UTC) + timedelta(minutes=2))
    machine.wait_for_event("ec2.hook_completed")

    assert machine.states() == [WORKED, WORKED]
    assert [line["reason"] for line in machine.events("ec2.leaving")] == [
        "lifecycle Terminated",
        "spot terminate",
    ]
    assert machine.group.completed == [{**machine.asked, "LifecycleActionResult": "CONTINUE"}]
    assert machine.events("ec2.command_failed") == []
    go_on(machine.world.world)
    machine.world.start(1)
    machine.assert_nothing_lost_or_doubled(jobs)


def test_a_spot_notice_under_load_hurries_the_instances_who_work_on_when_it_is_gone(
    make_machine: MakeMachine,
) -> None:
    """What cannot end in time is given back before the end; back in service, what was stopped is started.

    Until the notice a long call protects the machine from scale-in, and none does afterwards.
    """
    machine = make_machine('release_margin = "118s"\nprotect_after = "1s"', drain="10m")
    jobs = machine.send_load()
    machine.wait_for_event("ec2.protected")
    assert machine.group.is_protected()
    machine.metadata.announce_interruption(datetime.now(UTC) + timedelta(minutes=2), "hibernate")
    assert machine.wait_for_event("ec2.drained")["took_ms"] < 60_000

    assert machine.states() == [WORKED, WORKED]
    assert machine.events("ec2.hurried")[0]["left_ms"] <= 118_000
    assert machine.events("ec2.command_failed") == []
    abandoned = [machine.world.events(one, "worker.stopped")[0]["abandoned"] for one in INSTANCES]
    assert any(abandoned)
    assert machine.group.completed == []
    go_on(machine.world.world)
    del machine.metadata.values[SPOT]
    for one in INSTANCES:
        machine.world.wait_for(one, ActiveState="active", SubState="running")
    machine.assert_nothing_lost_or_doubled(jobs)
    machine.wait_for_event("ec2.unprotected")
    assert not machine.group.is_protected()
