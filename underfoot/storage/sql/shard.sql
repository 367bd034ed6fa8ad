-- name: try_lock
-- purpose: take the shard's lock for this session, if nobody holds it
SELECT pg_try_advisory_lock(hashtextextended('underfoot.shard.' || %(shard)s, 0));

-- name: end_sessions
-- purpose: end the sessions of a shard's holder that no longer lives, unless it has shown life since, or another has begun
SELECT pg_terminate_backend(a.pid, 5000)
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND (a.application_name IN ('underfoot-lock-' || %(shard)s, 'underfoot-ingest-' || %(shard)s) OR EXISTS (
        SELECT FROM pg_locks l
        WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('underfoot.shard.' || %(shard)s, 0)))
    AND EXISTS (
        SELECT FROM shards s LEFT JOIN workers w USING (worker_key)
        WHERE s.shard = %(shard)s AND s.epoch = %(epoch)s AND (%(beat)s::bigint IS NULL OR w.beat = %(beat)s));

-- name: begin_epoch
-- purpose: the lock's holder raises the epoch, which fences off whoever held it before
UPDATE shards SET epoch = epoch + 1, holder = %(holder)s, worker_key = %(worker_key)s, updated_at = now()
WHERE shard = %(shard)s
RETURNING epoch, shard_key;

-- name: session_state
-- purpose: what is on record of the shard's session, what it was caught up to, and since when silence counts
SELECT session_known, caught_up_to, silence_from FROM shards WHERE shard = %(shard)s;

-- name: let_go
-- purpose: the shard is free for another worker
UPDATE shards SET holder = NULL, worker_key = NULL, updated_at = now() WHERE shard = %(shard)s AND epoch = %(epoch)s;

-- name: check_epoch
-- purpose: the first act of each batch: no row means another one has taken over
-- NO KEY: whoever adds rows that name this shard (a ledger's import, a command for the inbox) is not waited for.
SELECT 1 FROM shards WHERE shard = %(shard)s AND epoch = %(epoch)s FOR NO KEY UPDATE;

-- name: session_known
-- purpose: the shard's persistent session exists at the broker from now on, subscribed to these too, and to those no longer
UPDATE shards SET session_known = true, filters = %(filters)s, subscribed = ARRAY(
    SELECT unnest(subscribed) UNION SELECT unnest(%(filters)s::text[]) EXCEPT SELECT unnest(%(dropped)s::text[]) ORDER BY 1)
WHERE shard = %(shard)s;

-- name: caught_up
-- purpose: all the broker had when this probe was sent is committed
UPDATE shards SET caught_up_to = greatest(caught_up_to, %(sent_at)s), probe_delay_ms = %(delay_ms)s, updated_at = now()
WHERE shard = %(shard)s;

-- name: known_until
-- purpose: up to when all that came by main is committed, and since when a message waits in an inbox
SELECT (SELECT caught_up_to FROM shards WHERE shard = 'main'),
    (SELECT min(created_at) FROM inbox WHERE consumed_at IS NULL AND kind = 'message');

-- name: gateways_known_until
-- purpose: of gateways whose messages come by a third shard, up to when all of them are committed
SELECT g.gateway_key, via.caught_up_to
FROM gateways g
JOIN shards via ON via.shard = shard_of(g.district)
WHERE via.shard NOT IN (%(shard)s, 'main');

-- name: clock_set
-- purpose: the holder's clock has been set: silence counts from now on, and nothing is caught up beyond now
UPDATE shards SET silence_from = %(now)s, caught_up_to = least(caught_up_to, %(now)s), updated_at = now()
WHERE shard = %(shard)s;

-- name: keep_books
-- purpose: what came and what became of it, by the database's own count, per minute
INSERT INTO books AS b (
    shard, minute, received, by_inbox, redelivered, unpacked, stored, duplicate, quarantined, forwarded, discarded, late
)
VALUES (
    %(shard)s, date_trunc('minute', our_now()), %(received)s, %(by_inbox)s, %(redelivered)s, %(unpacked)s, %(stored)s,
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

-- workers -----------------------------------------------------------------------------------------------------------

-- name: add_worker
-- purpose: an ingest process is there
INSERT INTO workers (name, may_hold) VALUES (%(name)s, %(may_hold)s) RETURNING worker_key;

-- name: lock_worker
-- purpose: as long as this session lives, others see that the worker reaches the database
SELECT pg_try_advisory_lock(hashtextextended('underfoot.worker.' || %(worker_key)s::int, 0));

-- name: beat
-- purpose: a sign of life; no row: somebody has taken us for dead
UPDATE workers SET beat = beat + 1, beat_at = clock_timestamp() WHERE worker_key = %(worker_key)s RETURNING beat;

-- name: workers
-- purpose: all workers, their signs of life, and whether each has a session at this database now
SELECT worker_key, name, beat, may_hold,
    hashtextextended('underfoot.worker.' || worker_key, 0) IN (SELECT held_locks()) AS present
FROM workers ORDER BY worker_key;

-- name: remove_worker
-- purpose: a worker that has ended, or has shown no life since its beat was seen; one that still has shards stays until others have them
DELETE FROM workers w WHERE worker_key = %(worker_key)s
    AND (%(beat)s::bigint IS NULL OR (beat = %(beat)s AND NOT EXISTS (SELECT FROM shards s WHERE s.worker_key = w.worker_key)));

-- the division ------------------------------------------------------------------------------------------------------

-- name: division
-- purpose: every shard: whose it is, which districts it has, and which are on their way
SELECT s.shard, s.districts, s.subscribed,
    ARRAY(SELECT m.district FROM shard_moves m WHERE m.to_shard = s.shard) AS coming,
    ARRAY(SELECT m.district FROM shard_moves m WHERE m.from_shard = s.shard) AS going,
    ARRAY(SELECT m.district FROM shard_moves m WHERE m.from_shard = s.shard AND m.drained) AS drained,
    s.epoch, s.worker_key, hashtextextended('underfoot.shard.' || s.shard, 0) IN (SELECT held_locks()) AS locked
FROM shards s ORDER BY s.shard_key;

-- name: districts
-- purpose: every district that there is: of the ledger's areas, and of its devices; by skipping along the index, since there are few and devices are many
WITH RECURSIVE of_devices AS (
    SELECT min(district) AS district FROM devices
    UNION ALL
    SELECT (SELECT min(d.district) FROM devices d WHERE d.district > o.district) FROM of_devices o WHERE o.district IS NOT NULL
)
SELECT district FROM of_devices WHERE district IS NOT NULL
UNION SELECT code FROM areas WHERE level = 'district' ORDER BY 1;

-- name: waits_for_devices
-- purpose: whether districts are still on their way to this shard
SELECT EXISTS (SELECT FROM shard_moves WHERE to_shard = %(shard)s);

-- name: lock_division
-- purpose: one change of the division at a time, and none while somebody registers devices
SELECT pg_advisory_xact_lock(hashtextextended('underfoot.division', 0));

-- name: try_lock_division
-- purpose: the same without waiting, for a holder whose reports do not wait
SELECT pg_try_advisory_xact_lock(hashtextextended('underfoot.division', 0));

-- name: begin_move
-- purpose: a district is to go to another shard
INSERT INTO shard_moves (district, from_shard, to_shard) VALUES (%(district)s, %(before)s, %(after)s);

-- name: drained
-- purpose: all that came for these districts before their new shard's session had subscribed is committed
UPDATE shard_moves SET drained = true WHERE from_shard = %(shard)s AND district = ANY(%(districts)s);

-- name: end_moves
-- purpose: districts that leave this shard now, if they still are to
DELETE FROM shard_moves WHERE from_shard = %(shard)s AND district = ANY(%(districts)s)
RETURNING district, from_shard, to_shard;

-- name: moves
-- purpose: districts on their way, and since when
SELECT district, from_shard, to_shard, begun_at FROM shard_moves ORDER BY district;

-- name: move_districts
-- purpose: districts leave one shard for another; main has what no other has
WITH moved AS (
    SELECT * FROM unnest(%(districts)s::text[], %(before)s::text[], %(after)s::text[]) AS m (district, before, after)
)
UPDATE shards s SET updated_at = now(), districts = ARRAY(
    SELECT district FROM unnest(s.districts) AS had (district)
    WHERE NOT EXISTS (SELECT FROM moved m WHERE m.district = had.district)
    UNION SELECT district FROM moved m WHERE m.after = s.shard
    ORDER BY 1)
WHERE s.districts IS NOT NULL AND EXISTS (SELECT FROM moved m WHERE s.shard IN (m.before, m.after));

-- name: move_devices
-- purpose: the devices of districts that have gone to another shard
UPDATE devices d SET shard = m.after
FROM unnest(%(districts)s::text[], %(before)s::text[], %(after)s::text[]) AS m (district, before, after)
WHERE d.district = m.district AND d.shard = m.before;

-- name: move_commands
-- purpose: an operator's close that waits goes where the alarm's device has gone
UPDATE inbox i SET shard = m.after
FROM unnest(%(districts)s::text[], %(before)s::text[], %(after)s::text[]) AS m (district, before, after)
JOIN devices d ON d.district = m.district
JOIN alarms al ON al.device_key = d.device_key
WHERE i.consumed_at IS NULL AND i.kind = 'close' AND i.shard = m.before AND al.alarm_key = (i.payload ->> 'alarm_key')::bigint;

-- name: add_shard
-- purpose: a shard without a district yet
INSERT INTO shards (shard, filters) VALUES (%(shard)s, '{}') ON CONFLICT (shard) DO NOTHING;

-- name: districts_with_devices
-- purpose: districts in which a shard has devices
SELECT DISTINCT district FROM devices WHERE shard = %(shard)s ORDER BY 1;

-- name: never_began
-- purpose: whether no session of the shard has ever existed, so that nothing waits for it at the broker; nobody can take it before we commit
SELECT pg_try_advisory_xact_lock(hashtextextended('underfoot.shard.' || %(shard)s, 0))
    AND NOT (SELECT session_known FROM shards WHERE shard = %(shard)s);

-- name: behind
-- purpose: how far a shard is behind (seconds), if another that has devices already were to wait for it
SELECT extract(epoch FROM our_clock() - caught_up_to)::double precision FROM shards
WHERE shard = %(before)s AND EXISTS (SELECT FROM devices WHERE shard = %(after)s);

-- name: list
-- purpose: every shard for people: who holds it, how far it is, what it has
SELECT s.shard, s.holder, s.epoch, s.districts, s.subscribed, s.session_known,
    extract(epoch FROM our_clock() - s.caught_up_to)::double precision AS caught_up_s,
    (SELECT count(*) FROM devices d WHERE d.shard = s.shard) AS devices
FROM shards s ORDER BY s.shard_key;
