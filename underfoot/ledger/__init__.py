"""The ledger (台账): which areas, assets and devices there are.

It stands before the path: a report of a device that the ledger does not know is quarantined.
"""
