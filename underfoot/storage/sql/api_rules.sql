-- name: list_rules
-- purpose: the rules in force: the newest version of each, unless that one is withdrawn, and for whom numbers differ
SELECT rule_id, scope, version, body, withdrawn, created_at, created_by, ARRAY(
    SELECT narrower.scope FROM (
        SELECT DISTINCT ON (o.scope) o.scope, o.withdrawn FROM rules o
        WHERE o.rule_id = newest.rule_id AND o.scope <> 'city' ORDER BY o.scope, o.version DESC
    ) narrower WHERE NOT narrower.withdrawn ORDER BY narrower.scope
) AS scopes
FROM (
    SELECT DISTINCT ON (rule_id) rule_id, scope, version, body, withdrawn, created_at, created_by
    FROM rules WHERE rule_id > %(after)s AND scope = 'city' ORDER BY rule_id, version DESC
) newest
WHERE NOT withdrawn AND (%(family)s::text IS NULL OR body ->> 'family' = %(family)s)
ORDER BY rule_id
LIMIT %(limit)s;

-- name: rule_exists
-- purpose: whether a rule was ever there
SELECT EXISTS (SELECT FROM rules WHERE rule_id = %(rule_id)s) AS found;
