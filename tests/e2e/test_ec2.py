"""An EC2 machine that has to go: its workers drain, its hook is completed; systemd is a stand-in here.

Under load, with the units in a real systemd: tests/systemd/test_ec2_machine.py.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.support.auto_scaling import GROUP, HOOK, AutoScalingSite, auto_scaling_site
from tests.support.ec2_site import Ec2Site, WatcherThread, ec2_section
from tests.support.imds import STATE, FakeMetadata
from tests.support.listed_lines import assert_listed
from tests.support.world import PATIENCE_SECONDS, World, wait_until
from worker.clock import Clock
from worker.ec2 import auto_scaling, metadata
from worker.ec2.watcher import run_watcher
from worker.status_file import StatusFile, WorkerStatus

MakeSite = Callable[..., Ec2Site]


@pytest.fixture(scope="module")
def group() -> Iterator[AutoScalingSite]:
    with auto_scaling_site() as site:
        site.add_hook()
        yield site


@pytest.fixture
def make_site(group: AutoScalingSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSite]:
    """Makes the machine; `more` goes into its section `[ec2]`, options into the rest of its configuration."""
    group.forget()
    for name, value in group.environment().items():
        monkeypatch.setenv(name, value)
    sites: list[Ec2Site] = []
    with FakeMetadata() as metadata:

        def make(more: str = "", **options: str) -> Ec2Site:
            requests, results, failures = (
                f"sql://{tmp_path}/queues.db?queue={name}" for name in ("requests", "results", "failures")
            )
            extra = ec2_section(tmp_path, more)
            world = World(tmp_path, requests, results, failures, {**options, "extra": extra})
            sites.append(Ec2Site(world, metadata, group))
            return sites[-1]

        yield make
        for site in sites:
            site.close()
            site.world.close()
            assert_listed(line for log in site.logs() for line in log.log())


def in_service(site: Ec2Site) -> WatcherThread:
    """The machine serves: the group wants it to, and the watcher has begun."""
    site.metadata.aim_at("InService")
    return site.watch()


def send_slow(site: Ec2Site) -> None:
    """A job runs until it is let."""
    site.world.send(slow_job(site.world, "slow", ["c-0"], 1))
    wait_for_start(site.world)


class TestScaleIn:
    def test_the_hook_waits_until_the_workers_have_drained(self, make_site: MakeSite) -> None:
        """Heartbeats while a job runs, its end awaited, then one completion."""
        site = make_site()
        worker = site.start_worker()
        watcher = in_service(site)
        send_slow(site)
        site.metadata.aim_at("Terminated")
        wait_until(lambda: bool(site.auto_scaling.heartbeats), "a heartbeat")
        assert worker.process.poll() is None
        assert site.auto_scaling.completed == []
        go_on(site.world)
        watcher.wait_for_event("ec2.hook_completed")

        assert worker.wait() == 0
        asked = {
            "AutoScalingGroupName": GROUP,
            "LifecycleHookName": HOOK,
            "InstanceId": site.auto_scaling.instance_id,
        }
        assert site.auto_scaling.heartbeats[0] == asked
        assert site.auto_scaling.completed == [{**asked, "LifecycleActionResult": "CONTINUE"}]
        assert site.asked() == ["stop"]
        assert [result["job_id"] for result in site.world.results()] == ["slow"]

    def test_a_completion_that_fails_is_tried_again(self, make_site: MakeSite) -> None:
        """Refused since nothing waits yet, denied, answered by a load balancer: the machine is let go."""
        site = make_site()
        site.auto_scaling.faults["complete_lifecycle_action"] = ["ValidationError", "AccessDenied", "broken"]
        watcher = in_service(site)
        site.metadata.aim_at("Terminated")
        watcher.wait_for_event("ec2.hook_completed")

        assert site.auto_scaling.calls["complete_lifecycle_action"] == 4
        (failed,) = watcher.events("ec2.hook_failed")
        assert (failed["error_code"], failed["tries"]) == ("ValidationError", 1)

    def test_a_watcher_that_is_killed_meanwhile_is_replaced_by_the_next(self, make_site: MakeSite) -> None:
        """It finds the machine leaving, sees the drain to its end, and completes the hook."""
        site = make_site()
        worker = site.start_worker()
        send_slow(site)
        site.metadata.aim_at("Terminated")
        watcher = site.start_watcher()
        worker.wait_for_event("worker.stopping")
        watcher.signal(signal.SIGKILL)
        watcher.wait()
        successor = site.watch()
        successor.wait_for_event("ec2.heartbeat")
        go_on(site.world)
        successor.wait_for_event("ec2.hook_completed")

        assert worker.wait() == 0
        assert [result["job_id"] for result in site.world.results()] == ["slow"]

    def test_workers_that_outlast_the_limit_are_hurried_and_the_machine_goes(
        self, make_site: MakeSite
    ) -> None:
        """The second signal gives back what runs; the hook is completed and waits no longer."""
        site = make_site('drain_limit = "2s"\nrelease_margin = "1500ms"', drain="60s")
        worker = site.start_worker()
        in_service(site)
        send_slow(site)
        site.metadata.aim_at("Terminated")

        assert worker.wait() == 0
        wait_until(lambda: bool(site.auto_scaling.completed), "the completion")
        assert site.asked() == ["stop", "hurry"]
        assert site.world.request.depth() == (1, 0, 0)


class TestSpot:
    def test_a_notice_during_a_scale_in_shortens_the_time(self, make_site: MakeSite) -> None:
        """What began with an hour ends within the two minutes, and the hook is completed."""
        site = make_site('release_margin = "10m"', drain="10m")
        worker = site.start_worker()
        in_service(site)
        send_slow(site)
        site.metadata.aim_at("Terminated")
        worker.wait_for_event("worker.stopping")
        assert site.asked() == ["stop"]
        site.metadata.announce_interruption(datetime.now(UTC) + timedelta(minutes=2))

        assert worker.wait() == 0
        wait_until(lambda: bool(site.auto_scaling.completed), "the completion")
        assert site.asked() == ["stop", "hurry"]


class TestNobodyAnswers:
    def test_workers_are_stopped_and_hurried_all_the_same(
        self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Auto Scaling takes calls and is silent, then the metadata are: what is due is done meanwhile."""
        monkeypatch.setattr(auto_scaling, "READ_TIMEOUT_SECONDS", PATIENCE_SECONDS)
        monkeypatch.setattr(metadata, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("AWS_ENDPOINT_URL_AUTO_SCALING", f"http://127.0.0.1:{silent.getsockname()[1]}")
            site = make_site('drain_limit = "2s"\nrelease_margin = "1500ms"', drain="60s")
            worker = site.start_worker()
            send_slow(site)
            site.metadata.aim_at("Terminated")
            watcher = site.watch("ec2.leaving")
            site.metadata.answers.clear()

            assert worker.wait() == 0
            watcher.wait_for_event("ec2.hurried")
            assert site.asked() == ["stop", "hurry"]
            assert not watcher.events("ec2.hook_failed")
            assert not watcher.events("ec2.metadata_failed")
            site.metadata.answers.set()


class TestRebalance:
    def test_a_recommendation_is_logged_and_changes_nothing(self, make_site: MakeSite) -> None:
        """The machine may live on for long, and nobody would take its place."""
        site = make_site()
        watcher = in_service(site)
        site.metadata.recommend_rebalance(datetime.now(UTC))
        watcher.wait_for_event("ec2.rebalance_recommended")
        looked = site.metadata.reads[STATE]
        wait_until(lambda: site.metadata.reads[STATE] > looked + 2, "two more looks")

        assert len(watcher.events("ec2.rebalance_recommended")) == 1
        assert site.asked() == []

    def test_it_drains_where_that_is_wanted(self, make_site: MakeSite) -> None:
        """For a group that replaces such machines."""
        site = make_site('on_rebalance = "drain"')
        watcher = in_service(site)
        site.metadata.recommend_rebalance(datetime.now(UTC))
        watcher.wait_for_event("ec2.drained")

        assert site.asked() == ["stop"]
        assert site.auto_scaling.completed == []


class TestComingBack:
    @pytest.mark.parametrize("aside", ["Standby", "Warmed:Running"])
    def test_a_machine_that_comes_back_into_service_starts_its_workers(
        self, make_site: MakeSite, aside: str
    ) -> None:
        """Put aside it works no more; back in service it does."""
        site = make_site()
        watcher = in_service(site)
        site.metadata.aim_at(aside)
        watcher.wait_for_event("ec2.drained")
        site.metadata.aim_at("InService")
        wait_until(lambda: len(site.asked()) == 2, "the start")
        assert site.asked() == ["stop", "start"]

    def test_metadata_that_fail_change_nothing(self, make_site: MakeSite) -> None:
        """Errors and a new token are neither a reason to leave nor to come back."""
        site = make_site()
        watcher = in_service(site)
        site.metadata.fail(STATE, 5)
        site.metadata.forget_tokens()
        wait_until(lambda: not site.metadata._failing[STATE], "five errors")
        site.metadata.aim_at("Standby")
        watcher.wait_for_event("ec2.drained")
        site.metadata.fail(STATE, 5)
        wait_until(lambda: not site.metadata._failing[STATE], "five errors")

        assert site.asked() == ["stop"]
        watcher.stop()
        tries = [line["tries"] for line in watcher.events("ec2.metadata_failed")]
        assert tries == [1] * len(tries)
        assert len(tries) >= 2  # a request that a machine's stall ended is one more


class TestElsewhere:
    def test_where_there_are_no_metadata_it_leaves_for_good(self, make_site: MakeSite) -> None:
        """One line, and the status at which systemd does not start it again."""
        site = make_site()
        site.metadata.is_switched_off = True
        watcher = site.start_watcher()

        assert watcher.wait() == 79
        (line,) = watcher.log()
        assert (line["event"], line["level"]) == ("ec2.nothing_to_watch", "info")
        assert "switched off" in line["error"]

    def test_metadata_that_are_disabled_are_not_asked_for(self, make_site: MakeSite) -> None:
        """By the variable that all AWS programs heed."""
        site = make_site()
        disabled = {"AWS_EC2_METADATA_DISABLED": "true"}
        disabled["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = site.metadata.endpoint_url

        assert run_watcher(site.world.settings, disabled, Clock()) == 79
        assert site.metadata.tokens_given == 0

    def test_a_machine_in_no_group_drains_at_a_spot_notice(
        self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No state to read, no hook to complete, no call to Auto Scaling; and no proxy is asked."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        site = make_site()
        watcher = site.watch()
        site.metadata.announce_interruption(datetime.now(UTC) + timedelta(minutes=2))
        watcher.wait_for_event("ec2.drained")

        assert site.asked() == ["stop"]
        assert not site.auto_scaling.calls


class TestProtection:
    def test_a_long_handler_call_costs_two_calls_and_a_short_one_none(self, make_site: MakeSite) -> None:
        """Protected while a worker tells of one that runs longer than the set time, and not afterwards."""
        site = make_site('protect_after = "10m"')
        watcher, file = in_service(site), StatusFile(site.world.settings.worker.state_directory)
        tell_running(file, timedelta(minutes=9))
        looked = site.metadata.reads[STATE]
        wait_until(lambda: site.metadata.reads[STATE] > looked + 2, "two more looks")
        assert not watcher.events("ec2.protected")
        tell_running(file, timedelta(minutes=11))
        watcher.wait_for_event("ec2.protected")
        assert site.auto_scaling.is_protected()
        tell_running(file, None)
        watcher.wait_for_event("ec2.unprotected")

        assert not site.auto_scaling.is_protected()
        assert site.auto_scaling.calls["set_instance_protection"] == 2


def tell_running(file: StatusFile, span: timedelta | None) -> None:
    """As a worker does every ten seconds: for how long its longest handler call has been running."""
    now = datetime.now(UTC)
    since = None if span is None else now - span
    file.write(WorkerStatus(os.getpid(), "host:1", now, 1, {}, running_since=since))
