"""What stands at both ends of the path while nothing real does: a city's devices before the broker, and behind the
outbox a 一网统管 platform and a crew's robot.

    city → ledger.csv;  ledger + scenario → fleet → misbehaviour → play → wire → MQTT broker;  platform ← HTTP

Speaks only protocol v1 and the platform's own HTTP; knows nothing of how ingest and alerts do their work.
"""
