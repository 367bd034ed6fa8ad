-- name: newest_first
-- purpose: a device's reports, newest first; `reached` again bounds ts alone, so that chunks past it are left out
SELECT ts, digest, received_at, seq, quality, extra, {columns} FROM {table}
WHERE device_key = %(device_key)s
    AND ts >= coalesce(%(from)s::timestamptz, '-infinity') AND ts < coalesce(%(to)s::timestamptz, 'infinity')
    AND (%(reached)s::timestamptz IS NULL OR (ts <= %(reached)s AND (ts, digest) < (%(reached)s, %(digest)s::int)))
ORDER BY ts DESC, digest DESC
LIMIT %(limit)s;

-- name: oldest_first
-- purpose: a device's reports, oldest first
SELECT ts, digest, received_at, seq, quality, extra, {columns} FROM {table}
WHERE device_key = %(device_key)s
    AND ts >= coalesce(%(from)s::timestamptz, '-infinity') AND ts < coalesce(%(to)s::timestamptz, 'infinity')
    AND (%(reached)s::timestamptz IS NULL OR (ts >= %(reached)s AND (ts, digest) > (%(reached)s, %(digest)s::int)))
ORDER BY ts, digest
LIMIT %(limit)s;

-- name: bucketed
-- purpose: a device's reports by bucket of time, whose days and months are the city's; of two at one time the later arrival is the last
SELECT time_bucket(%(width)s::interval, ts, 'Asia/Shanghai') AS bucket, count(*) AS reports, {aggregates}
FROM (
    SELECT *, row_number() OVER (ORDER BY ts, received_at, digest) AS turn FROM {table}
    WHERE device_key = %(device_key)s AND ts >= %(from)s::timestamptz AND ts < %(to)s::timestamptz
) in_order
GROUP BY bucket
ORDER BY bucket;

-- name: window
-- purpose: where the bucket of a time begins, and where the n-th bucket after it begins
SELECT began AS first, timezone('Asia/Shanghai', timezone('Asia/Shanghai', began) + %(buckets)s::int * %(width)s::interval) AS past
FROM time_bucket(%(width)s::interval, %(from)s::timestamptz, 'Asia/Shanghai') AS began;
