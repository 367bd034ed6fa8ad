"""Score: alarms held against the truth of a run."""
