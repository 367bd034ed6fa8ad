"""`system`: a failure of Underfoot itself."""

from __future__ import annotations

from typing import Literal

from alerts.rules.parts import AnyRule, SeverityName


class SystemRule(AnyRule):
    """A failure of Underfoot itself: an internal matter of the operations centre."""

    kind: Literal["system"]
    severity: SeverityName
