"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # how long drawing an example takes says how busy the machine is

os.environ.pop("COLUMNS", None)  # workers of pytest-xdist have it, and golden texts are as wide as a pipe lets them
