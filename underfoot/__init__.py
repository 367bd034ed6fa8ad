"""What every stage of Underfoot shares: settings, topics, families, reports, the words of alarms, storage."""

__version__ = "0.1.0"
