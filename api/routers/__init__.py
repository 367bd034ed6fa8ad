"""One router a noun. Each route's role stands in api/roles.py."""
