"""Notices that the target is down: nobody gets a connection to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from loadkit.plan.units import MILLISECOND

if TYPE_CHECKING:
    from loadkit.drive.user import User

GIVE_UP_AFTER: Final = 3
GIVE_UP_LATER: Final = 250 * MILLISECOND
"""So many refusals at least, of all threads that have begun, for so long: the target is taken to be down."""


class Target:
    """Notices that the target is down."""

    def __init__(self) -> None:
        self.was_down = False
        self._has_connected = False
        self._down_since = 0

    def is_down(self, users: Sequence[User], now: int, began: int) -> bool:
        """True if no connection was ever made, and all threads that have begun were refused one, for long enough."""
        self._has_connected = self._has_connected or any(user.recorder.contact.has_connected for user in users)
        if self._has_connected:
            return False
        refusals = sum(user.recorder.contact.refusals for user in users)
        turned_away = sum(user.recorder.contact.is_turned_away for user in users)
        # one that rests and was neither connected nor refused had no request yet; others are in their first
        is_first = any(
            user.ready and not (user.pauses.resting or user.recorder.contact.is_turned_away) for user in users
        )
        if not refusals or is_first:
            self._down_since = now
        is_down = refusals + turned_away >= GIVE_UP_AFTER and now - max(self._down_since, began) >= GIVE_UP_LATER
        self.was_down = self.was_down or is_down
        return is_down
