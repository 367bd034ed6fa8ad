"""Record: what has changed becomes transitions, episodes and what is owed, in the transaction that changed it."""
