"""Instances under a real systemd: they get ready, drain, come back and are restarted, and lose nothing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.private_server import PASSWORD
from tests.support.server_world import Place, ServerWorld
from tests.support.systemd_box import Box
from tests.support.systemd_world import SystemdWorld, unit
from tests.support.world import job
from tests.systemd.conftest import MakeWorld

# The first one also builds and installs the worker.
pytestmark = pytest.mark.timeout(300)

WORKED = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}


@pytest.fixture(scope="module", name="server")
def start_server(box: Box) -> Iterator[PostgreSQLServer]:
    """A database server on the box's network."""
    with ExitStack() as stack:
        with box.network():
            server = stack.enter_context(running_postgresql())
        yield server


def slow_job(world: SystemdWorld, job_id: str, customer: str = "c-0") -> dict[str, object]:
    """A job that waits for the file `go_on` and says by files with `started` in their name that it does."""
    paths = {name: str(world.world.directory / name) for name in ("started", "go_on")}
    return job(job_id, [customer], type="orders.slow", payload=paths)


def order(number: int) -> dict[str, object]:
    """A job that inserts one order on the server and is soon done."""
    return job(f"order-{number}", ["c-eu1"], rows=[{"order_no": number}])


def test_a_started_instance_is_ready(world: SystemdWorld) -> None:
    """`systemctl start` returns when the worker takes jobs, and not before."""
    world.start(1)

    assert world.events(1, "worker.started")
    assert world.box.show(unit(1), "ActiveState", "User") == {"ActiveState": "active", "User": "shardworker"}


def test_a_stop_lets_the_running_job_end(world: SystemdWorld) -> None:
    """The job that runs is finished and answered, then the process leaves in good order."""
    world.start(1)
    world.world.send(slow_job(world, "j1"))
    world.wait_for_file(world.world.directory / "started")

    stop = world.box.start("systemctl", "stop", unit(1))
    world.wait_for(1, SubState="stop-sigterm")
    assert stop.poll() is None
    (world.world.directory / "go_on").touch()
    assert stop.communicate(timeout=30) == ("", "")

    assert world.box.show(unit(1), *WORKED) == WORKED
    assert [result["status"] for result in world.world.results()] == ["succeeded"]
    assert world.events(1, "worker.stopped")[0]["abandoned"] == 0


def test_a_killed_worker_comes_back_and_does_its_job_again(make_world: MakeWorld) -> None:
    """It is started anew, and what it had in hand comes when its lease ends: the row stands once."""
    world = make_world(lease="2s")
    world.start(1)
    world.world.send(slow_job(world, "j1"))
    world.wait_for_file(world.world.directory / "started")
    killed = world.main_pid(1)

    world.box.run("kill", "-KILL", str(killed))
    world.wait_for(1, NRestarts="1", ActiveState="active", SubState="running")
    (world.world.directory / "go_on").touch()
    world.world.wait_until_settled()

    assert world.main_pid(1) != killed
    assert len(world.world.rows()) == 1
    assert [result["status"] for result in world.world.results()] == ["succeeded"]


def test_a_process_that_hangs_is_killed_with_its_stacks_told_and_comes_back(world: SystemdWorld) -> None:
    """A handler that lets no other thread run: no sign of life, SIGABRT, all stacks, and a new process."""
    world.use("WatchdogSec=2s\n")
    world.start(1)
    started = world.world.directory / "started"
    world.world.send(job("stuck", type="orders.stuck", payload={"started": str(started)}))

    world.wait_for(1, NRestarts="1", ActiveState="active", SubState="running")
    told = world.journal(1)
    assert started.exists()
    assert [line for line in told if "Watchdog timeout" in line]
    assert "Fatal Python error: Aborted" in told
    for place in ("in hold_the_interpreter", "in _wait_for_the_end"):
        assert [line for line in told if line.endswith(place)]


def test_a_handler_that_hangs_costs_its_thread_and_most_that_do_a_new_process(
    make_world: MakeWorld, server: PostgreSQLServer
) -> None:
    """Its thread is given up and told of with its stack, and the others go on; without most: status 1."""
    limits = {"extra": '[types."orders.slow"]\ntimeout = "1s"\n', "retry": "max_attempts = 1"}
    world = make_world(concurrency="2", **limits)
    server.create_database("limits")
    url = server.url("limits")
    served = ServerWorld(world.world, [Place("eu1", url, url, server="db", limit=8)])
    world.start(1)
    process = world.main_pid(1)
    world.world.send(slow_job(world, "hangs-1", "c-eu1"), order(2))
    world.wait_for_event(1, "worker.thread_given_up")
    world.world.wait_until_settled()
    assert (world.main_pid(1), served.rows("eu1")) == (process, Counter({2: 1}))

    world.world.send(slow_job(world, "hangs-2", "c-eu1"), order(3))
    world.wait_for(1, NRestarts="1", ActiveState="active", SubState="running")
    world.world.wait_until_settled()
    assert served.rows("eu1") == Counter({2: 1, 3: 1})
    given_up = world.events(1, "worker.thread_given_up")
    assert [line["job"] for line in given_up] == ["hangs-1", "hangs-2"]
    assert ["insert_slowly" in line["stack"] for line in given_up] == [True, True]
    assert [line for line in world.journal(1) if "Main process exited, code=exited, status=1/FAILURE" in line]
    assert Counter(result["status"] for result in world.world.results()) == {"failed": 2, "succeeded": 2}


def test_a_reload_takes_the_changed_file_without_a_new_process(world: SystemdWorld) -> None:
    """`systemctl reload` is SIGHUP; the instance is the same one afterwards, and active."""
    world.start(1)
    process = world.main_pid(1)
    text = world.world.config_path.read_text(encoding="utf-8")
    world.world.config_path.write_text(f'{text}\n[types."orders.insert"]\ntimeout = "1m"\n', encoding="utf-8")

    world.box.run("systemctl", "reload", unit(1))
    world.wait_for_event(1, "config.reloaded")
    world.wait_for(1, ActiveState="active", SubState="running")

    assert world.main_pid(1) == process
    assert world.box.show(unit(1), "StatusText")["StatusText"].startswith("0 in hand")


def test_a_wrong_configuration_is_not_tried_again(world: SystemdWorld) -> None:
    """Status 78: the start fails at once, and stays failed until somebody corrects the file."""
    world.use("Environment=SHARDWORKER__WORKER__CONCURRENCY=many\n")
    started = world.box.ask("systemctl", "start", unit(1))

    failed = {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    assert started.returncode != 0
    assert world.box.show(unit(1), *failed) == failed
    assert any("SHARDWORKER__WORKER__CONCURRENCY" in line for line in world.journal(1))


def test_a_worker_that_leaves_for_good_stays_away(world: SystemdWorld) -> None:
    """Status 79, after SIGUSR2: it drains, it is no failure, and nobody starts it again."""
    world.start(1)
    world.box.run("systemctl", "kill", "--signal=USR2", unit(1))

    world.wait_for(1, ActiveState="inactive", SubState="dead")
    assert world.events(1, "worker.stopped")[0]["reason"] == "SIGUSR2"
    assert not [line for line in world.journal(1) if "Scheduled restart" in line]


def test_the_target_starts_and_stops_the_enabled_instances(world: SystemdWorld) -> None:
    """One name for all instances of a machine, whatever their number."""
    world.give_away()
    instances = [unit(1), unit(2)]
    world.box.run("systemctl", "enable", *instances)
    world.box.run("systemctl", "start", "shardworker.target")
    world.wait_for(1, ActiveState="active")
    world.wait_for(2, ActiveState="active")

    world.box.run("systemctl", "stop", "shardworker.target", *instances)
    world.box.run("systemctl", "disable", *instances)

    assert [world.box.show(one, *WORKED) for one in instances] == [WORKED, WORKED]


def test_boto3_psycopg_and_a_credential_work_in_the_sandbox(
    make_world: MakeWorld, server: PostgreSQLServer
) -> None:
    """Jobs come from SQS and go into PostgreSQL, with a password that the workers' user cannot read."""
    world = make_world(sqs=True)
    server.create_database("eu1")
    urls = server.url("eu1"), server.url("eu1", password=None)
    served = ServerWorld(world.world, [Place("eu1", *urls, server="db")])
    world.box.write("/etc/shardworker/passwords/eu1", f"{PASSWORD}\n")
    world.use("Environment=SHARDWORKER__SHARDS__EU1__PASSWORD_FILE=credential:eu1\n")
    world.start(1)
    world.world.send(order(1))
    world.world.wait_until_settled()

    assert served.rows("eu1") == Counter({1: 1})
    assert [result["status"] for result in world.world.results()] == ["succeeded"]
    unreadable = world.box.ask("setpriv", "--reuid=shardworker", "cat", "/etc/shardworker/passwords/eu1")
    assert "Permission denied" in unreadable.stderr
