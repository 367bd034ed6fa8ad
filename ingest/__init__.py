"""The way of a report from the broker into the database: subscribe → decode → validate → store (ingest/worker.py)."""
