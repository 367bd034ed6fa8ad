-- Rules and their overrides: versioned data by rule_id and scope. All scopes of a rule share one count of versions.

-- name: lock
-- purpose: one change at a time: an override is judged against the rule that is in force then, and the other way round
SELECT pg_advisory_xact_lock(1970104934);

-- name: in_force
-- purpose: the newest version of every rule and override that is not withdrawn, each rule before its overrides
SELECT rule_id, scope, version, body, withdrawn, created_at, created_by FROM (
    SELECT DISTINCT ON (rule_id, scope) * FROM rules ORDER BY rule_id, scope, version DESC
) newest WHERE NOT withdrawn ORDER BY rule_id, scope <> 'city', scope;

-- name: newest
-- purpose: a rule's, or an override's, newest version, withdrawn or not
SELECT rule_id, scope, version, body, withdrawn, created_at, created_by FROM rules
WHERE rule_id = %(rule_id)s AND scope = %(scope)s ORDER BY version DESC LIMIT 1;

-- name: newest_of_all
-- purpose: every rule's newest version with its author, to see which shipped rules are new
SELECT DISTINCT ON (rule_id) rule_id, body, created_by FROM rules WHERE scope = 'city' ORDER BY rule_id, version DESC;

-- name: as_of
-- purpose: a rule's, or an override's, body as it was at a version of the rule
SELECT version, body FROM rules
WHERE rule_id = %(rule_id)s AND scope = %(scope)s AND version <= %(version)s ORDER BY version DESC LIMIT 1;

-- name: next_version
-- purpose: the number that a rule's next change gets, whatever its scope
SELECT coalesce(max(version), 0) + 1 FROM rules WHERE rule_id = %(rule_id)s;

-- name: versions
-- purpose: every version of a rule and of its overrides, newest first
SELECT rule_id, scope, version, body, withdrawn, created_at, created_by FROM rules
WHERE rule_id = %(rule_id)s ORDER BY version DESC LIMIT %(limit)s;

-- name: history
-- purpose: the newest changes of all rules
SELECT rule_id, scope, version, body, withdrawn, created_at, created_by FROM rules
ORDER BY created_at DESC, rule_id, version DESC LIMIT %(limit)s;

-- name: add
-- purpose: the next version
INSERT INTO rules (rule_id, scope, version, body, withdrawn, created_by)
VALUES (%(rule_id)s, %(scope)s, %(version)s, %(body)s, %(withdrawn)s, %(created_by)s);

-- name: notify
-- purpose: tell whoever holds a shard, at commit: it loads the rules in force anew
SELECT pg_notify('underfoot_rules', '');

-- name: unknown_scope
-- purpose: whether an override's area, tag or device is nowhere in the ledger
SELECT CASE %(kind)s
    WHEN 'area' THEN NOT EXISTS (SELECT FROM areas WHERE starts_with(code, %(name)s))
    WHEN 'tag' THEN NOT EXISTS (SELECT FROM assets WHERE tags @> ARRAY[%(name)s])
    ELSE NOT EXISTS (SELECT FROM devices WHERE device_id = %(name)s)
END;
