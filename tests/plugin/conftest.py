"""Imports beforehand what a run within this process would import anew, and pytester takes out of `sys.modules` again.

Then a later test would have two of each: the package `http` keeps its `cookiejar`, so that `requests` gets the first
one and `loadkit` a new one, and neither knows the cookies of the other.
"""

from __future__ import annotations

import loadkit.drive.journeys.runner
import loadkit.jobs.testing.reporting
import loadkit.plan.loader

assert loadkit.drive.journeys.runner
assert loadkit.jobs.testing.reporting
assert loadkit.plan.loader
