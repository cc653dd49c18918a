"""The feed of a job's parts: shards take turns, and one that hangs leaves the places to the others."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from worker.part_feed import PARTS_IN_LANES_MAXIMUM, PartFeed

Part = tuple[str, int]


def feed_of(sizes: dict[str, int]) -> PartFeed[Part]:
    """So many parts for each shard, one shard's all before the next one's."""
    feed: PartFeed[Part] = PartFeed(lambda part: part[0])
    feed.add((shard, number) for shard, size in sizes.items() for number in range(size))
    return feed


def all_next(feed: PartFeed[Part]) -> list[Part]:
    """All that may go now."""
    parts = []
    while (part := feed.next()) is not None:
        parts.append(part)
    return parts


def test_shards_take_turns_whatever_the_order_of_the_customers() -> None:
    """A job whose customers are sorted by shard runs on all of its shards from the first moment."""
    feed = feed_of({"eu1": 100, "eu2": 2, "eu3": 100})

    assert [feed.next() for _ in range(7)] == [
        ("eu1", 0),
        ("eu2", 0),
        ("eu3", 0),
        ("eu1", 1),
        ("eu2", 1),
        ("eu3", 1),
        ("eu1", 2),
    ]


def test_a_shard_that_hangs_holds_16_places_and_the_others_have_the_rest() -> None:
    """However many parts it has, and while others wait."""
    feed = feed_of({"sick": 1000, **{f"eu{number}": 100 for number in range(19)}})
    running = deque(all_next(feed))
    handed_out = Counter(shard for shard, _ in running)
    while handed_out.total() - handed_out["sick"] < 1900:
        assert handed_out["sick"] <= 16
        assert len({shard for shard, _ in running}) > 1
        part = running.popleft()
        if part[0] != "sick":
            feed.end(part)
        after = all_next(feed)
        handed_out.update(shard for shard, _ in after)
        running += [part, *after] if part[0] == "sick" else after


def test_a_job_on_one_shard_has_all_the_places() -> None:
    """Nobody else needs them."""
    assert len(all_next(feed_of({"eu1": 200}))) == PARTS_IN_LANES_MAXIMUM


def test_a_shard_leaves_places_to_those_that_are_held_back() -> None:
    """They come when their inbox has been looked at: what hangs must not have taken everything by then."""
    feed = feed_of({"sick": 200})
    feed.hold_back([("eu1", 0), ("eu1", 1)])
    assert len(all_next(feed)) == 16
    feed.release([("eu1", 0), ("sick", 0)])

    assert ("eu1", 0) in all_next(feed)
    assert not feed.is_done


@given(
    st.dictionaries(st.sampled_from([f"eu{number}" for number in range(30)]), st.integers(1, 60), min_size=1),
    st.data(),
)
def test_whatever_hangs_the_others_come_to_their_end(sizes: dict[str, int], data: st.DataObject) -> None:
    """Any number of shards up to all but one, each with any number of parts, in any order."""
    healthy = data.draw(st.sampled_from(sorted(sizes)))
    hanging = data.draw(st.sets(st.sampled_from(sorted(sizes)))) - {healthy}
    feed = feed_of(sizes)
    running = all_next(feed)
    ended: Counter[str] = Counter()
    while answered := [part for part in running if part[0] not in hanging]:
        assert len(running) <= PARTS_IN_LANES_MAXIMUM
        part = data.draw(st.sampled_from(answered))
        running.remove(part)
        ended[part[0]] += 1
        assert feed.end(part)
        running += all_next(feed)

    assert ended == {shard: size for shard, size in sizes.items() if shard not in hanging}
