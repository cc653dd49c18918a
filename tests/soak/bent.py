"""Lets a soak's workers break their order of things, as `--bend` says: the audit has to find it out."""

import os
from typing import Final

from tests.support.bends import BENDS

BEND: Final = "SOAK_BEND"
"""The environment's variable with the name of the bend; the configuration names this module then only."""

BENDS[os.environ[BEND]].apply()
