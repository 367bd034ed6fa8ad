"""Drainage networks (EPA SWMM files): read, generated from a seed, made into a city of assets, pipes and devices."""
