-- name: codes_within
-- purpose: areas and all below them: by the tree, and by code prefix, since a ledger may name a street before its district
WITH RECURSIVE within AS (
    SELECT a.code FROM areas a JOIN unnest(%(areas)s::text[]) root ON starts_with(a.code, root)
    UNION
    SELECT child.code FROM areas child JOIN within ON child.parent_code = within.code
)
SELECT code FROM within;

-- name: areas_missing
-- purpose: which of these areas are not in the ledger
SELECT wanted AS area FROM unnest(%(areas)s::text[]) wanted
WHERE NOT EXISTS (SELECT FROM areas WHERE code = wanted) ORDER BY wanted;

-- name: units_missing
-- purpose: which of these maintenance units maintain nothing
SELECT wanted AS unit FROM unnest(%(units)s::text[]) wanted
WHERE NOT EXISTS (SELECT FROM assets WHERE maintenance_unit = wanted) ORDER BY wanted;

-- name: named
-- purpose: which of these actors are people
SELECT name FROM people WHERE name = ANY(%(names)s::text[]);

-- name: add
-- purpose: a new account, without a password
INSERT INTO people (name, display_name, role, areas, units, issuer, subject, created_by)
VALUES (%(name)s, %(display_name)s, %(role)s, %(areas)s::text[], %(units)s::text[], %(issuer)s, %(subject)s, %(actor)s)
RETURNING person_key, name, display_name, role, areas, units, password_hash, password_at, issuer, subject, disabled_at, created_at,
    created_by;

-- name: find
-- purpose: one account by its name, whatever its case
SELECT person_key, name, display_name, role, areas, units, password_hash, password_at, issuer, subject, disabled_at, created_at,
    created_by
FROM people WHERE lower(name) = lower(%(name)s);

-- name: lock
-- purpose: one account by its name, whatever its case, held until the end of the transaction
SELECT person_key, name, display_name, role, areas, units, password_hash, password_at, issuer, subject, disabled_at, created_at,
    created_by
FROM people WHERE lower(name) = lower(%(name)s) FOR UPDATE;

-- name: lock_subject
-- purpose: whose account at an OIDC provider this is, held until the end of the transaction
SELECT person_key, name, display_name, role, areas, units, password_hash, password_at, issuer, subject, disabled_at, created_at,
    created_by
FROM people WHERE issuer = %(issuer)s AND subject = %(subject)s FOR UPDATE;

-- name: listed
-- purpose: accounts by name, disabled ones among them, each with when it last logged in; never a hash
SELECT p.person_key, p.name, p.display_name, p.role, p.areas, p.units, NULL AS password_hash, p.password_at, p.issuer, p.subject,
    p.disabled_at, p.created_at, p.created_by, s.open_sessions, s.last_at
FROM people p
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE ended_at IS NULL AND expires_at > clock_timestamp()) AS open_sessions, max(renewed_at) AS last_at
    FROM sessions WHERE sessions.person_key = p.person_key
) s
WHERE lower(p.name) > lower(%(after)s)
ORDER BY lower(p.name)
LIMIT %(limit)s;

-- name: set_rights
-- purpose: what a person may, and where
UPDATE people SET display_name = %(display_name)s, role = %(role)s, areas = %(areas)s::text[], units = %(units)s::text[]
WHERE person_key = %(person_key)s;

-- name: set_password
-- purpose: a new password's hash
UPDATE people SET password_hash = %(password_hash)s, password_at = clock_timestamp() WHERE person_key = %(person_key)s;

-- name: rehash
-- purpose: the same password's hash by newer parameters, unless it was changed meanwhile
UPDATE people SET password_hash = %(password_hash)s WHERE person_key = %(person_key)s AND password_hash = %(before)s;

-- name: forget_password
-- purpose: from now on no password opens the account
UPDATE people SET password_hash = NULL, password_at = NULL WHERE person_key = %(person_key)s;

-- name: disable
-- purpose: the account opens nothing from now on
UPDATE people SET disabled_at = clock_timestamp() WHERE person_key = %(person_key)s;

-- name: enable
-- purpose: the account opens again what it did
UPDATE people SET disabled_at = NULL WHERE person_key = %(person_key)s;

-- name: lock_administrators
-- purpose: one at a time where administrators become fewer
SELECT pg_advisory_xact_lock(hashtextextended('underfoot administrators', 0));

-- name: administrators
-- purpose: how many can still administer the whole city
SELECT count(*) AS administrators FROM people
WHERE role = 'administrator' AND areas IS NULL AND units IS NULL AND disabled_at IS NULL;

-- name: withdraw_invitations
-- purpose: what was sent to a person before opens nothing any more
UPDATE invitations SET used_at = clock_timestamp() WHERE person_key = %(person_key)s AND used_at IS NULL;

-- name: invite
-- purpose: a one-time secret with which a person sets their password
INSERT INTO invitations (secret_hash, person_key, made_by, expires_at)
VALUES (%(secret_hash)s, %(person_key)s, %(actor)s, clock_timestamp() + %(good_for)s)
RETURNING expires_at;

-- name: take_invitation
-- purpose: whose one-time secret this is, used up by asking; no row where it is none, was used, or is too old
UPDATE invitations i SET used_at = clock_timestamp() FROM people p
WHERE i.secret_hash = %(secret_hash)s AND i.used_at IS NULL AND i.expires_at > clock_timestamp() AND p.person_key = i.person_key
RETURNING p.name;

-- name: members_within
-- purpose: which of an incident's alarms, now or ever, lie in a caller's scope
SELECT DISTINCT m.alarm_key FROM incident_members m
JOIN alarms al ON al.alarm_key = m.alarm_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
WHERE m.incident_key = %(incident_key)s
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
ORDER BY m.alarm_key;

-- name: episodes_within
-- purpose: which of these episodes lie in a caller's scope
SELECT e.episode_key FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN assets a ON a.asset_key = al.asset_key
WHERE e.episode_key = ANY(%(episode_keys)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s));
