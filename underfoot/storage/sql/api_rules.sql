-- name: list_rules
-- purpose: the rules in force: the newest version of each, unless that one is withdrawn
SELECT rule_id, version, body, withdrawn, created_at, created_by FROM (
    SELECT DISTINCT ON (rule_id) rule_id, version, body, withdrawn, created_at, created_by
    FROM rules WHERE rule_id > %(after)s ORDER BY rule_id, version DESC
) newest
WHERE NOT withdrawn AND (%(family)s::text IS NULL OR body ->> 'family' = %(family)s)
ORDER BY rule_id
LIMIT %(limit)s;

-- name: versions_of
-- purpose: every version of a rule, newest first
SELECT rule_id, version, body, withdrawn, created_at, created_by FROM rules
WHERE rule_id = %(rule_id)s ORDER BY version DESC LIMIT %(limit)s;

-- name: rule_exists
-- purpose: whether a rule was ever there
SELECT EXISTS (SELECT FROM rules WHERE rule_id = %(rule_id)s) AS found;
