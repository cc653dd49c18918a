"""An example package of handlers: copy it, rename it, and name its module in the worker's configuration."""
