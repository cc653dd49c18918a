"""The daemon: it receives jobs, leases them, runs their parts on the shards, and settles them."""
