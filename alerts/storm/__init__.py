"""Storm: when more alarms reach an operator than anyone can read, those of a catchment are told as one incident."""
