"""Cases (案件): what an alarm is to the platform: when it is filed, its clocks, and its life (docs/cases.md)."""
