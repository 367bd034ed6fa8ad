"""The world of a run: network, rain, water, devices and faults joined, its messages, and what is left of it on disk."""
