"""The audit log (审计): who did what, chained so that what is changed afterwards shows (docs/audit.md)."""
