"""A doorkeeper for tests."""

from __future__ import annotations

from typing import Any


class Door:
    """Lets everybody in, or nobody."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason

    def refusal(self, transport: Any) -> str | None:
        return self.reason
