"""The demo: the whole way of a job on one machine, and a proof that nothing was lost or doubled."""
