"""Codecs: one file each, chosen by topic or by what the ledger says of the device."""
