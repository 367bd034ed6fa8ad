"""Judge: which of a batch's reports change an alarm's condition. Everything here is about one device at a time."""
