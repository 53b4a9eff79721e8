"""The tests; they mirror the house, floor by floor, and then look at the whole."""

from hypothesis import HealthCheck, settings

# Machines are shared: how long something takes is no reason to fail. What has failed is to fail again.
settings.register_profile("papa", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("papa")
