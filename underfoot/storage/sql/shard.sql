-- name: try_lock
-- purpose: take the shard's lock for this session, if nobody holds it
SELECT pg_try_advisory_lock(hashtextextended('underfoot.shard.' || %(shard)s, 0));

-- name: begin_epoch
-- purpose: the lock's holder raises the epoch, which fences off whoever held it before
UPDATE shards SET epoch = epoch + 1, holder = %(holder)s, updated_at = now() WHERE shard = %(shard)s
RETURNING epoch, shard_key, filters, session_known, caught_up_to;

-- name: check_epoch
-- purpose: the first act of each batch: no row means another one has taken over
-- NO KEY: whoever adds rows that name this shard (a ledger's import, a command for the inbox) is not waited for.
SELECT 1 FROM shards WHERE shard = %(shard)s AND epoch = %(epoch)s FOR NO KEY UPDATE;

-- name: session_known
-- purpose: the shard's persistent session exists at the broker from now on
UPDATE shards SET session_known = true WHERE shard = %(shard)s;

-- name: caught_up
-- purpose: all the broker had when this probe was sent is committed
UPDATE shards SET caught_up_to = greatest(caught_up_to, %(sent_at)s), probe_delay_ms = %(delay_ms)s, updated_at = now()
WHERE shard = %(shard)s;

-- name: keep_books
-- purpose: what came and what became of it, by the database's own count, per minute
INSERT INTO books AS b (
    shard, minute, received, by_inbox, redelivered, unpacked, stored, duplicate, quarantined, forwarded, discarded, late
)
VALUES (
    %(shard)s, date_trunc('minute', now()), %(received)s, %(by_inbox)s, %(redelivered)s, %(unpacked)s, %(stored)s,
    %(duplicate)s, %(quarantined)s, %(forwarded)s, %(discarded)s, %(late)s
)
ON CONFLICT (shard, minute) DO UPDATE SET
    received = b.received + EXCLUDED.received, by_inbox = b.by_inbox + EXCLUDED.by_inbox,
    redelivered = b.redelivered + EXCLUDED.redelivered, unpacked = b.unpacked + EXCLUDED.unpacked,
    stored = b.stored + EXCLUDED.stored, duplicate = b.duplicate + EXCLUDED.duplicate,
    quarantined = b.quarantined + EXCLUDED.quarantined, forwarded = b.forwarded + EXCLUDED.forwarded,
    discarded = b.discarded + EXCLUDED.discarded, late = b.late + EXCLUDED.late;

-- name: post
-- purpose: put a command into a shard's inbox, once under its key
INSERT INTO inbox (shard, kind, payload, key) VALUES (%(shard)s, %(kind)s, %(payload)s, %(key)s) ON CONFLICT (key) DO NOTHING;
