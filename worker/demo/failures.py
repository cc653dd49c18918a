"""The demo's own failure: it could not come to its proof."""


class DemoFailed(Exception):
    """The demo could not be carried to its end. The message says why and where to look."""
