"""Deliver: from the outbox to the sinks, in order, whatever fails."""
