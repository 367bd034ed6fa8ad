"""Backtest: what a rule would have raised on stored history."""
