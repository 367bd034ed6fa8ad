-- name: insert_new
-- purpose: reports that may be there already; says which of them are new
INSERT INTO {table} (device_key, ts, received_at, quality, seq, {fields}, digest, extra)
SELECT device_key, ts, received_at, quality, nullif(seq, {no_seq}), {values}, digest, extra::jsonb FROM {source}
ON CONFLICT (device_key, ts, digest) DO NOTHING
RETURNING device_key, (extract(epoch FROM ts) * 1000000)::bigint, digest;

-- name: already_substituted
-- purpose: of reports filed under their receipt, those whose packet is on record since a day
SELECT r.row FROM jsonb_to_recordset(%(rows)s) AS r (row int, device_key int, digest int)
WHERE EXISTS (
    SELECT 1 FROM {table} t
    WHERE t.device_key = r.device_key AND t.digest = r.digest AND t.quality & %(marks)s <> 0
        AND t.ts > our_now() - interval '1 day'
);

-- name: put_latest
-- purpose: the newest values of each device; a field it did not say this time keeps its last value
INSERT INTO {table} AS l (device_key, ts, received_at, quality, seq, {fields})
SELECT device_key, ts, received_at, quality, nullif(seq, {no_seq}), {values} FROM {source}
ON CONFLICT (device_key) DO UPDATE SET
    ts = EXCLUDED.ts, received_at = greatest(l.received_at, EXCLUDED.received_at), seq = coalesce(EXCLUDED.seq, l.seq),
    quality = EXCLUDED.quality, {keeps};

-- name: put_heard
-- purpose: devices that were heard by a late report only: their newest values stay
UPDATE {table} l
SET received_at = greatest(l.received_at, 'epoch'::timestamptz + r.received_us * interval '1 microsecond')
FROM unnest(%(device_keys)s::int[], %(received_us)s::bigint[]) AS r (device_key, received_us)
WHERE l.device_key = r.device_key;
