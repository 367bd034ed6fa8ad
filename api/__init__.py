"""The HTTP API under `/api/v1`: reads everything the path has stored, and writes only what people decide."""
