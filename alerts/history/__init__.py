"""History: the past is judged again, where late data has changed it."""
