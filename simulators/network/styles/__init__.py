"""Styles of made-up networks: each lays out streets, basins and low points in its own way."""
