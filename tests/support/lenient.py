"""A handler module that lets a worker wait for half a minute until a handler that is out of time ends."""

from worker import turn_limits

VARIABLES = {"SHARDWORKER__HANDLERS__MODULES": f'["tests.support.handlers", "{__name__}"]'}
"""Makes a worker use it: a machine that stalls while a statement is cancelled costs no thread."""

vars(turn_limits)["GRACE_SECONDS_MINIMUM"] = turn_limits.GRACE_SECONDS_MAXIMUM
