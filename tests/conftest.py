"""What holds for all tests: hypothesis judges what is true, never how fast a busy machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile("shardworker", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shardworker")
