"""Health: what the engine itself is measured by (ISA-18.2)."""
