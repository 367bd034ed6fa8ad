"""The configurations of platforms that ship: one YAML file each."""

from __future__ import annotations

from alerts.channels.shipped import Shipped

SHIPPED = Shipped(__name__)
