"""Duty (值班): which day is what, who is on duty, who is told when nobody answers, what one shift leaves the next."""
