"""The SMS gateways that ship: one YAML file each."""

from __future__ import annotations

from alerts.channels.shipped import Shipped

SHIPPED = Shipped(__name__)
