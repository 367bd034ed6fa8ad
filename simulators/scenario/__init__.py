"""Scenarios: what a simulated city goes through, as readable YAML that is checked before anything runs."""
