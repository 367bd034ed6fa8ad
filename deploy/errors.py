"""What goes wrong with the local stack, said so that a person can act on it."""

from __future__ import annotations


class StackError(Exception):
    """The local stack cannot do what was asked; the message says why and what to do."""
