"""`shardworker shards check`: whether each shard is as the worker needs it."""

from contextlib import closing

from shards.engines import Shards
from worker.cli.check import print_findings
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.every_place import JobsOption, ShardsArgument, chosen_places
from worker.cli.shard_findings import find_in_shards


def check_shards(
    names: ShardsArgument = None,
    *,
    jobs: JobsOption = 8,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the shards: access, rights, inbox, engines, encoding, isolation, time-outs, clocks, connections.

    Nothing is changed: what is written to see that it may be is rolled back. Exit status 1 if anything is
    wrong; what is only doubtful is a warning. `shardworker check` looks at the same, and at all the rest.
    """
    settings = open_settings(config).settings
    places = chosen_places(settings, names or [])
    with closing(Shards(settings.shards)) as shards:
        found = [one for _, some in find_in_shards(settings, shards, places, jobs) for one in some]
    print_findings(found, as_json=as_json)
