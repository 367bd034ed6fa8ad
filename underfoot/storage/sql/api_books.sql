-- name: list_books
-- purpose: the books by minute and shard, newest first
SELECT shard, minute, received, redelivered, by_inbox, unpacked, stored, duplicate, quarantined, forwarded, discarded, late FROM books
WHERE (%(shard)s::text IS NULL OR shard = %(shard)s)
    AND (%(from)s::timestamptz IS NULL OR minute >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR minute < %(to)s)
    AND (%(reached)s::timestamptz IS NULL OR (minute, shard) < (%(reached)s, %(reached_shard)s::text))
ORDER BY minute DESC, shard DESC
LIMIT %(limit)s;

-- name: total_books
-- purpose: the books of each shard over a time range
SELECT shard, sum(received)::bigint AS received, sum(redelivered)::bigint AS redelivered,
    sum(by_inbox)::bigint AS by_inbox, sum(unpacked)::bigint AS unpacked,
    sum(stored)::bigint AS stored, sum(duplicate)::bigint AS duplicate, sum(quarantined)::bigint AS quarantined,
    sum(forwarded)::bigint AS forwarded, sum(discarded)::bigint AS discarded, sum(late)::bigint AS late
FROM books
WHERE (%(shard)s::text IS NULL OR shard = %(shard)s)
    AND (%(from)s::timestamptz IS NULL OR minute >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR minute < %(to)s)
GROUP BY shard ORDER BY shard;
