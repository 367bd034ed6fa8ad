"""A stand-in 一网统管 platform, and a crew's robot beside it: what stands at the far end of the outbox.

request → `behaviour` (may refuse, delay, lose) → `access` → `events` or `robot` → `records`; `app` is its HTTP
"""
