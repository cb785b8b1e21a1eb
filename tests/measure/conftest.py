"""Examples that hypothesis finds may take their time: a deadline would measure the machine, not the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
