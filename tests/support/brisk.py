"""A handler module that lets a worker process write its status file much oftener than it usually does."""

from datetime import timedelta

from worker import daemon

VARIABLES = {"SHARDWORKER__HANDLERS__MODULES": f'["tests.support.handlers", "{__name__}"]'}
"""Makes a worker use it."""

vars(daemon)["HOUSEKEEPING"] = timedelta(seconds=0.1)
