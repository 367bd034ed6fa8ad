-- name: insert_new
-- purpose: from staging into the hypertable, what is not there yet; says which rows were new
INSERT INTO {table} SELECT * FROM {stage}
ON CONFLICT (device_key, ts, digest) DO NOTHING
RETURNING device_key, (extract(epoch FROM ts) * 1000000)::bigint, digest;

-- name: already_substituted
-- purpose: of reports filed under their receipt, those whose packet is on record since a day
SELECT r.row FROM jsonb_to_recordset(%(rows)s) AS r (row int, device_key int, digest int)
WHERE EXISTS (
    SELECT 1 FROM {table} t
    WHERE t.device_key = r.device_key AND t.digest = r.digest AND t.quality & %(marks)s <> 0
        AND t.ts > now() - interval '1 day'
);

-- name: put_latest
-- purpose: the newest values of each device; a field it did not say this time keeps its last value
INSERT INTO device_latest AS l (device_key, ts, received_at, seq, quality, "values")
SELECT
    device_key, 'epoch'::timestamptz + ts_us * interval '1 microsecond',
    'epoch'::timestamptz + received_us * interval '1 microsecond', seq, quality, "values"
FROM jsonb_to_recordset(%(rows)s) AS r (
    device_key int, ts_us bigint, received_us bigint, seq bigint, quality smallint, "values" jsonb
)
ON CONFLICT (device_key) DO UPDATE SET
    ts = EXCLUDED.ts, received_at = greatest(l.received_at, EXCLUDED.received_at), seq = coalesce(EXCLUDED.seq, l.seq),
    quality = EXCLUDED.quality, "values" = l."values" || EXCLUDED."values";

-- name: put_heard
-- purpose: devices that were heard by a late report only: their newest values stay
UPDATE device_latest l
SET received_at = greatest(l.received_at, 'epoch'::timestamptz + r.received_us * interval '1 microsecond')
FROM jsonb_to_recordset(%(rows)s) AS r (device_key int, received_us bigint)
WHERE l.device_key = r.device_key;
