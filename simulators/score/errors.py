"""What can go wrong with a score, said in one sentence."""


class ScoreError(ValueError):
    """A run that cannot be scored, and why."""
