-- What a simulated fleet looks at to hold its own account against the books. Read only.

-- name: known_devices
-- purpose: which of these devices the registry has, and under which key
SELECT device_id, device_key, family FROM devices WHERE device_id = ANY(%(device_ids)s);

-- name: distinct_quarantined
-- purpose: messages in quarantine that have come since, however often each came
SELECT count(DISTINCT digest) FROM quarantine WHERE quarantine_key > %(after)s;

-- name: stored_by_device
-- purpose: how many reports of these devices are on record that have come since
SELECT device_key, count(*) FROM {reports}
WHERE device_key = ANY(%(device_keys)s) AND ts > %(since)s::timestamptz - interval '8 days' AND received_at >= %(since)s
GROUP BY device_key;

-- name: progress
-- purpose: whether all that had come by then is committed, how far the slowest shard trails behind, what waits in the inbox
SELECT bool_and(coalesce(caught_up_to > %(sent)s, false)), max(extract(epoch FROM our_now() - caught_up_to))::float8,
    (SELECT count(*) FROM inbox WHERE consumed_at IS NULL)
FROM shards;

-- name: newest_report
-- purpose: up to when any of these devices has reported already
SELECT max(ts) FROM device_latest WHERE device_key = ANY(%(device_keys)s);

-- name: subscribed
-- purpose: what the session of each shard that is held takes
SELECT shard, subscribed FROM shards WHERE holder IS NOT NULL;

-- name: count_known
-- purpose: how many of these devices the registry has
SELECT count(*) FROM devices WHERE device_id = ANY(%(device_ids)s);
