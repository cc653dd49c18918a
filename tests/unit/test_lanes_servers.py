"""A server that is away is asked once for all its shards, not by each of them."""

from structlog.testing import capture_logs

from tests.support.fakes import ManualTime
from tests.support.lanes import Piece, code_of, end, fill, lanes_of, miss, put_away, take
from worker.lane import Reply
from worker.lanes import Lanes

LATEST = 0.999_999
NEIGHBOURS = ("db1.a", "db1.b", "db1.c")


def lose_server(time: ManualTime) -> Lanes[Piece]:
    """Lanes of one server, of which two find it away in turn, and of another one."""
    lanes = lanes_of(time, limit=2, server_limit=4)
    for shard in NEIGHBOURS:
        fill(lanes, shard, f"{shard} first", f"{shard} second")
    assert [miss(lanes), miss(lanes)] == [[], []]
    return lanes


def test_two_shards_in_a_row_tell_that_their_server_is_away() -> None:
    """One probe for all of them, after the cool-down; other servers go on."""
    time = ManualTime(chance=LATEST)
    with capture_logs() as lines:
        lanes = lose_server(time)
    fill(lanes, "db2.a", "other", "another")
    assert {take(lanes).item, take(lanes).item} == {"other", "another"}
    time.pass_time(1)
    take(lanes)

    assert (lanes.away(), lanes.away_servers()) == (list(NEIGHBOURS), ["db1"])
    assert lanes._next_ready(time.seconds) is None
    assert [(line["event"], line["server"], line["shards"], line["waiting"]) for line in lines] == [
        ("server.away", "db1", ["db1.a", "db1.b"], 5)
    ]


def test_the_probes_of_a_server_go_round_its_shards() -> None:
    """A shard that stays away for its own reasons does not keep the server from being found back."""
    time = ManualTime(chance=LATEST)
    lanes = lose_server(time)
    probed = []
    for seconds in (1, 2, 4):
        time.pass_time(seconds)
        taken = take(lanes)
        probed.append(taken.lane.shard)
        end(lanes, taken, Reply.UNANSWERED)

    assert sorted(probed) == list(NEIGHBOURS)


def test_a_busy_neighbour_does_not_keep_the_probes_from_going_round() -> None:
    """Whoever runs between two probes, the next one is another shard's."""
    time = ManualTime(chance=LATEST)
    lanes = lose_server(time)
    fill(lanes, "db2.a", *(f"busy {number}" for number in range(10)))
    probed = []
    for seconds in (1, 2, 4):
        end(lanes, take(lanes))
        time.pass_time(seconds)
        while (taken := take(lanes)).lane.shard == "db2.a":
            end(lanes, taken)
        probed.append(taken.lane.shard)
        end(lanes, taken, Reply.UNANSWERED)

    assert sorted(probed) == list(NEIGHBOURS)


def test_a_shard_that_stays_away_alone_does_not_hold_every_place_of_a_probe() -> None:
    """After its probe in vain the others get one item in, with what it needs, though the places are full."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, held=2)
    fill(lanes, "db1.a", "a")
    fill(lanes, "db1.b", "b")
    assert [miss(lanes), miss(lanes)] == [[], []]
    lanes.withdraw([entry.item for entry in lanes._lanes["db1.b"].queue])
    fill(lanes, "db1.a", "another a")
    time.pass_time(1)
    assert miss(lanes) == []
    admitted = [lanes.admit(shard) is None for shard in ("db1.a", "db1.b", "db1.c")]
    offered = [code_of(lanes, shard, "probe") for shard in ("db1.a", "db1.b", "db1.b")]
    given_back = [item for item, _ in lanes.shed()]
    time.pass_time(2)
    end(lanes, take(lanes))

    assert admitted == [False, True, False]
    assert offered == ["shard_away", None, "shard_away"]
    assert given_back == ["a"]
    assert lanes.away_servers() == []


def test_one_answer_brings_the_whole_server_back_few_at_first() -> None:
    """One part of all its shards, then two, then four."""
    time = ManualTime(chance=LATEST)
    lanes = lose_server(time)
    for shard in NEIGHBOURS:
        fill(lanes, shard, *(f"{shard} {number}" for number in range(10)))
    time.pass_time(1)
    with capture_logs() as lines:
        end(lanes, take(lanes))
    at_once = []
    for _ in range(4):
        running = []
        while lanes._next_ready(time.seconds) is not None:
            running.append(take(lanes))
        at_once.append(len(running))
        for taken in running:
            end(lanes, taken)

    assert at_once == [1, 2, 4, 4]
    assert [(line["event"], line["tries"], line["away_ms"]) for line in lines] == [("server.back", 1, 1000)]
    assert (lanes.away(), lanes.away_servers()) == ([], [])


def test_one_shard_that_is_away_says_nothing_about_its_server() -> None:
    """However often it is probed, and although a second one follows after answers of the others."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=2)
    put_away(lanes, "db1.a")
    for seconds in (1, 2, 4):
        time.pass_time(seconds)
        miss(lanes)
    fill(lanes, "db1.c", "fine")
    end(lanes, take(lanes))
    put_away(lanes, "db1.b")
    time.pass_time(8)
    miss(lanes)
    miss(lanes)

    assert (lanes.away(), lanes.away_servers()) == (["db1.a", "db1.b"], [])


def test_a_shard_whose_server_has_no_other_is_away_alone() -> None:
    """A server is not called away by one witness."""
    lanes = lanes_of(ManualTime())
    put_away(lanes, "db1.a")

    assert (lanes.away(), lanes.away_servers()) == (["db1.a"], [])


def test_what_was_under_way_when_the_server_went_says_nothing_new() -> None:
    """Neither its failures nor its answers; its lanes are not blamed one by one."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=2, server_limit=6)
    for shard in NEIGHBOURS:
        fill(lanes, shard, f"{shard} first", f"{shard} second")
    running = [take(lanes) for _ in range(6)]
    replies = [Reply.UNANSWERED] * 5 + [Reply.ANSWERED]
    for taken, reply in zip(running, replies, strict=True):
        end(lanes, taken, reply)
    time.pass_time(1)
    end(lanes, take(lanes))

    assert (lanes.away(), lanes.away_servers()) == ([], [])


def test_a_server_without_anything_waiting_takes_one_probe() -> None:
    """Its shards together, however full the places are that others hold."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=2, held=1)
    fill(lanes, "db1.a", "a")
    fill(lanes, "db1.b", "b")
    given_back = [*miss(lanes), *miss(lanes)]
    time.pass_time(1)
    end(lanes, take(lanes), Reply.NOT_ASKED)
    offered = [lanes.offer(shard, Piece("probe")) for shard in NEIGHBOURS]

    assert len(given_back) == 1
    assert [one and one.code for one in offered] == [None, "shard_away", "shard_away"]


def test_the_shards_of_a_server_that_is_away_give_back_evenly() -> None:
    """The longest lane first: each keeps some of its own."""
    lanes = lanes_of(ManualTime(), held=4)
    for shard in NEIGHBOURS:
        fill(lanes, shard, *(f"{shard} {number}" for number in range(4)))
    miss(lanes)
    given_back = miss(lanes)

    assert len(given_back) == 8
    assert sorted(len(lane.queue) for lane in lanes._lanes.values()) == [1, 1, 2]
