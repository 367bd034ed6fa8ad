"""The operators' region and suppression of an alarm: pure functions, and the acts that use them."""
