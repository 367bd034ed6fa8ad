"""Identity on the wire: who may speak to us, with what credential, and what each may do (docs/identity.md)."""

from __future__ import annotations

from underfoot.identity.accounts import Account, authenticate

__all__ = ["Account", "authenticate"]
