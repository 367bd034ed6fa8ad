"""From reports to alarms to what is owed: rules → evaluate → transition → record → dispatch."""
