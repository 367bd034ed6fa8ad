-- Figures of health (ISA-18.2) of a window [since, until); every statement reads the window by an index, never the year.

-- name: load
-- purpose: alarms that reached an operator, by district and 10 minutes: not those that were suppressed when they came
SELECT coalesce(district_of(al.area_code), '') AS district,
    floor(extract(epoch FROM e.committed_at - %(since)s) / 600)::int AS bucket, count(*)::int AS alarms
FROM episodes e JOIN alarms al USING (alarm_key)
WHERE e.committed_at >= %(since)s AND e.committed_at < %(until)s AND NOT EXISTS (
    SELECT FROM suppressions s
    WHERE s.alarm_key = e.alarm_key AND s.since <= e.committed_at AND coalesce(s.ended_at, 'infinity') > e.committed_at
)
GROUP BY 1, 2;

-- name: districts
-- purpose: districts that have devices
SELECT district, name FROM dashboard.districts ORDER BY district;

-- name: floods
-- purpose: how long each district was in flood
SELECT area_code, sum(extract(epoch FROM least(coalesce(ended_at, %(until)s), %(until)s) - greatest(began_at, %(since)s)))::float8 AS seconds
FROM floods
WHERE began_at < %(until)s AND coalesce(ended_at, 'infinity') > %(since)s
GROUP BY area_code;

-- name: stale
-- purpose: open alarms whose condition has not changed for so long, the oldest first
SELECT e.episode_key, e.title, changed.at
FROM episodes e
CROSS JOIN LATERAL (
    SELECT t.committed_at AS at FROM transitions t
    WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition'
    ORDER BY t.transition_no DESC LIMIT 1
) AS changed
WHERE e.cleared_at IS NULL AND changed.at < %(until)s - %(after)s::interval
ORDER BY changed.at;

-- name: episodes
-- purpose: of the alarms raised: how severe, how long after receipt on record, how many chatter, the share of the ten most frequent
WITH raised AS MATERIALIZED (
    SELECT e.alarm_key, e.episode, e.severity, e.worst_severity, e.raised_at, e.raised_received_at, e.committed_at
    FROM episodes e WHERE e.committed_at >= %(since)s AND e.committed_at < %(until)s
),
frequent AS (
    SELECT count(*) AS times FROM raised GROUP BY alarm_key ORDER BY 1 DESC LIMIT 10
),
chattering AS (
    SELECT DISTINCT alarm_key FROM (
        SELECT alarm_key, raised_at,
            lag(raised_at, %(chattering)s::int - 1) OVER (PARTITION BY alarm_key ORDER BY raised_at) AS before
        FROM raised
    ) spaced WHERE raised_at - before <= interval '1 minute'
),
-- How soon it is on record says something of us only where no silence had to be waited for.
at_once AS (
    SELECT extract(epoch FROM r.committed_at - r.raised_received_at)::float8 AS seconds
    FROM raised r
    CROSS JOIN LATERAL (
        SELECT t.reason FROM transitions t
        WHERE t.alarm_key = r.alarm_key AND t.episode = r.episode AND t.region = 'condition' AND t.to_state = 'active'
        ORDER BY t.transition_no LIMIT 1
    ) AS first WHERE first.reason = 'limit_reached'
)
SELECT
    (SELECT count(*) FROM raised)::int AS raised,
    (SELECT count(*) FROM raised WHERE worst_severity <= 2)::int AS low,
    (SELECT count(*) FROM raised WHERE worst_severity = 3)::int AS medium,
    (SELECT count(*) FROM raised WHERE worst_severity = 4)::int AS high,
    (SELECT coalesce(sum(times), 0) FROM frequent)::int AS top_ten,
    (SELECT count(*) FROM chattering)::int AS chattering,
    (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) FROM at_once) AS record_p95_s;

-- name: deliveries
-- purpose: how long deliveries took until they were taken
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM settled_at - created_at)::float8) AS receipt_p95_s
FROM outbox
WHERE created_at >= %(since)s AND created_at < %(until)s AND state = 'delivered';

-- name: oldest_owed
-- purpose: how long the oldest delivery that is still owed has waited, beside what waits for the end of quiet hours
SELECT coalesce(extract(epoch FROM %(until)s - min(created_at)), 0)::float8 AS seconds FROM outbox WHERE state = 'owed' AND verdict IS DISTINCT FROM 'wait_for_quiet';

-- name: books
-- purpose: late, duplicate and quarantined reports, and how many there were
SELECT coalesce(sum(late), 0)::bigint AS late, coalesce(sum(duplicate), 0)::bigint AS duplicate,
    coalesce(sum(quarantined), 0)::bigint AS quarantined
FROM books WHERE minute >= %(since)s AND minute < %(until)s;

-- name: probes
-- purpose: the slowest shard's last probe, publish to commit: what judging and writing take
SELECT max(probe_delay_ms)::float8 / 1000 AS seconds FROM shards;

-- name: take_turn
-- purpose: the turn to reckon the figures anew; no row: it was done a moment ago
SELECT name FROM engines
WHERE name = 'health' AND NOT coalesce((state ->> 'at')::timestamptz BETWEEN %(now)s::timestamptz - %(every)s::interval AND %(now)s, false);

-- name: keep
-- purpose: the newest figures, for whoever exports them
UPDATE engines SET state = %(state)s WHERE name = 'health';

-- name: kept
-- purpose: the newest figures
SELECT state FROM engines WHERE name = 'health';
