-- name: newest_seal
-- purpose: the head of the chain
SELECT audit_key, hash FROM audit_seals ORDER BY audit_key DESC LIMIT 1;

-- name: newest_row
-- purpose: up to which row there is anything to seal
SELECT max(audit_key) FROM audit;

-- name: writers
-- purpose: the transactions that may have written audit rows and are not over; each holds this lock from before a row has its number
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'audit'::regclass AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid IS DISTINCT FROM pg_backend_pid();

-- name: to_seal
-- purpose: rows after the head, in their order, as the chain's form has them
SELECT audit_key, to_json(at AT TIME ZONE 'UTC') #>> '{}' || 'Z', actor, action, subject, detail::text FROM audit
WHERE audit_key > %(after)s AND audit_key <= %(upto)s
ORDER BY audit_key LIMIT %(limit)s;

-- name: add_seals
-- purpose: the chain goes on
INSERT INTO audit_seals (audit_key, sealed_at, previous, hash)
SELECT audit_key, %(sealed_at)s, previous, hash
FROM unnest(%(keys)s::bigint[], %(previous)b::bytea[], %(hashes)b::bytea[]) AS sealed (audit_key, previous, hash);

-- name: walk_rows
-- purpose: every row of a stretch, in the order of the chain
SELECT audit_key, to_json(at AT TIME ZONE 'UTC') #>> '{}' || 'Z', actor, action, subject, detail::text FROM audit
WHERE audit_key >= %(first)s AND audit_key <= %(last)s
ORDER BY audit_key;

-- name: walk_seals
-- purpose: every seal of a stretch, in the order of the chain
SELECT audit_key, to_json(sealed_at AT TIME ZONE 'UTC') #>> '{}' || 'Z', previous, hash FROM audit_seals
WHERE audit_key >= %(first)s AND audit_key <= %(last)s
ORDER BY audit_key;

-- name: waiting_too_long
-- purpose: the first row of a stretch that nobody has sealed for longer than it takes
SELECT audit_key, at::text FROM audit
WHERE audit_key > coalesce((SELECT max(audit_key) FROM audit_seals), 0) AND audit_key >= %(first)s AND audit_key <= %(last)s
    AND at < %(before)s
ORDER BY audit_key LIMIT 1;

-- name: first_since
-- purpose: the number of the first row from a time on
SELECT audit_key FROM audit WHERE at >= %(since)s ORDER BY at, audit_key LIMIT 1;

-- name: last_until
-- purpose: the number of the last row before a time
SELECT audit_key FROM audit WHERE at < %(until)s ORDER BY at DESC, audit_key DESC LIMIT 1;

-- name: seal_before
-- purpose: which seal a stretch follows
SELECT audit_key, hash FROM audit_seals WHERE audit_key < %(first)s ORDER BY audit_key DESC LIMIT 1;

-- name: seal_of
-- purpose: the seal of one row
SELECT hash FROM audit_seals WHERE audit_key = %(audit_key)s;

-- name: exported
-- purpose: rows of a stretch with their seals, in the order of the chain
SELECT a.audit_key, to_json(a.at AT TIME ZONE 'UTC') #>> '{}' || 'Z', a.actor, a.action, a.subject, a.detail::text,
    to_json(s.sealed_at AT TIME ZONE 'UTC') #>> '{}' || 'Z', s.previous, s.hash
FROM audit a LEFT JOIN audit_seals s USING (audit_key)
WHERE a.audit_key >= %(first)s AND a.audit_key <= %(last)s
    AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
    AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
ORDER BY a.audit_key;

-- name: export_size
-- purpose: how many rows an export has, how many of them are sealed, and the last seal
WITH found AS (
    SELECT count(*) AS rows, count(s.audit_key) AS sealed, max(s.audit_key) AS last
    FROM audit a LEFT JOIN audit_seals s USING (audit_key)
    WHERE a.audit_key >= %(first)s AND a.audit_key <= %(last)s
        AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
        AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
)
SELECT rows, sealed, last, (SELECT hash FROM audit_seals WHERE audit_key = last) FROM found;

-- name: listed
-- purpose: acts with their seals, the newest first
SELECT a.audit_key, a.at, a.actor, a.action, a.subject, a.detail, s.sealed_at, encode(s.hash, 'hex') AS seal
FROM audit a LEFT JOIN audit_seals s USING (audit_key)
WHERE (%(actor)s::text IS NULL OR a.actor = %(actor)s)
    AND (%(action)s::text IS NULL OR a.action = %(action)s)
    AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
    AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
    AND (%(reached)s::timestamptz IS NULL OR (a.at, a.audit_key) < (%(reached)s, %(reached_key)s::bigint))
ORDER BY a.at DESC, a.audit_key DESC LIMIT %(limit)s;

-- name: settings_noted
-- purpose: the settings that a process last said it runs with
SELECT detail -> 'settings' FROM audit
WHERE subject = %(subject)s AND action = 'settings.in_force' ORDER BY at DESC, audit_key DESC LIMIT 1;

-- name: ensure_services
-- purpose: the group of services, with its rights as this version has them
SELECT ensure_services();

-- name: rights_of
-- purpose: what a role could do to the audit log beside what services may
SELECT r.rolsuper OR r.rolcreaterole OR r.rolbypassrls OR pg_has_role(r.oid, 'pg_write_all_data', 'MEMBER') AS superuser,
    (
        SELECT string_agg(DISTINCT pg_get_userbyid(c.relowner), ', ') FROM pg_class c
        WHERE c.oid IN ('audit'::regclass, 'audit_seals'::regclass) AND pg_has_role(r.oid, c.relowner, 'MEMBER')
    ) AS owner,
    (
        SELECT string_agg(DISTINCT a.privilege_type || ' on ' || c.relname, ', ')
        FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
        WHERE c.oid IN ('audit'::regclass, 'audit_seals'::regclass) AND a.privilege_type NOT IN ('SELECT', 'INSERT')
            AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'MEMBER'))
    ) AS more
FROM pg_roles r WHERE r.rolname = %(role)s;
