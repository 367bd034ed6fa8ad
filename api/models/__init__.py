"""What the API answers with, one module a noun. Times are RFC 3339 in UTC; a label is what operators read."""
