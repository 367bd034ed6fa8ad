"""People with accounts: who they are and what they may, how they log in, and how that is guarded (docs/people.md)."""
