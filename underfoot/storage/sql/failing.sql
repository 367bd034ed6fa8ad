-- name: open
-- purpose: rules whose failing is open for this judge
SELECT k.rule_id
FROM rule_keys k
JOIN alarms al ON al.subject_kind = 'rule' AND al.subject_key = k.rule_key AND al.rule_id = %(rule_id)s
JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL
WHERE k.judge = %(judge)s;

-- name: keys
-- purpose: what alarms about these rules are kept under, for this judge; new where there was none
INSERT INTO rule_keys (rule_id, judge) SELECT DISTINCT unnest(%(rule_ids)s::text[]), %(judge)s
ON CONFLICT (rule_id, judge) DO UPDATE SET rule_id = EXCLUDED.rule_id
RETURNING rule_id, rule_key;
