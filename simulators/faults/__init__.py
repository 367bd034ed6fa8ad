"""Faults: whom a scenario strikes, and what a struck device, pipe or connection does."""
