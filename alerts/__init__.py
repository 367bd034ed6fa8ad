"""From reports to alarms to what is owed: rules → judge → record → deliver."""
