"""Telling: whom an alarm is told to, and why."""
