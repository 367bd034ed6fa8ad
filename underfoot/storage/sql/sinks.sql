-- name: add
-- purpose: a new sink
INSERT INTO sinks (name, channel, audience, maintenance_unit, owner_unit, area_code, bundle_s, quiet, min_severity, config)
VALUES (%(name)s, %(channel)s, %(audience)s, %(maintenance_unit)s, %(owner_unit)s, %(area_code)s, %(bundle_s)s, %(quiet)s,
    %(min_severity)s, %(config)s)
ON CONFLICT (name) DO NOTHING
RETURNING sink_key;

-- name: replace
-- purpose: other settings for a known sink, in use again and tried at once
UPDATE sinks SET
    channel = %(channel)s, audience = %(audience)s, maintenance_unit = %(maintenance_unit)s, owner_unit = %(owner_unit)s,
    area_code = %(area_code)s, bundle_s = %(bundle_s)s, quiet = %(quiet)s, min_severity = %(min_severity)s, config = %(config)s, enabled = true, open_until = NULL
WHERE name = %(name)s
RETURNING sink_key;

-- name: end_quiet
-- purpose: a sink has other quiet hours: what waited for the end of the old ones is due
UPDATE outbox SET next_attempt_at = now() WHERE sink_key = %(sink_key)s AND state = 'owed' AND verdict = 'wait_for_quiet';

-- name: list_sinks
-- purpose: every sink, its breaker, and what it is owed
SELECT
    s.sink_key, s.name, s.channel, s.audience, s.maintenance_unit, s.owner_unit, s.area_code, s.bundle_s, s.quiet, s.min_severity, s.config, s.enabled, s.failures,
    s.open_until, s.last_error,
    (SELECT count(*) FROM outbox o WHERE o.sink_key = s.sink_key AND o.state = 'owed') AS owed,
    (SELECT min(o.created_at) FROM outbox o WHERE o.sink_key = s.sink_key AND o.state = 'owed') AS oldest_owed,
    (SELECT count(*) FROM outbox o WHERE o.sink_key = s.sink_key AND o.state = 'dead') AS dead
FROM sinks s
WHERE %(name)s::text IS NULL OR s.name = %(name)s
ORDER BY s.name;

-- name: drop_owed
-- purpose: what a sink that is being removed will never be sent
UPDATE outbox SET state = 'dropped', verdict = 'sink_removed', settled_at = our_clock(), lease_until = NULL
WHERE sink_key = %(sink_key)s AND state = 'owed';

-- name: remove
-- purpose: a sink without deliveries goes for good
DELETE FROM sinks s
WHERE s.sink_key = %(sink_key)s AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.sink_key = s.sink_key);

-- name: disable
-- purpose: a sink with deliveries on record stays, out of use
UPDATE sinks SET enabled = false WHERE sink_key = %(sink_key)s;

-- name: alternates_to
-- purpose: sinks in use that would fall back to this one
SELECT name FROM sinks WHERE enabled AND config ->> 'alternate' = %(name)s ORDER BY name;
