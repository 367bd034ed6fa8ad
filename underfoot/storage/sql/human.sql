-- name: known
-- purpose: which alarm's the episodes are that somebody names
SELECT episode_key, alarm_key, episode FROM episodes
WHERE episode_key = ANY(%(episode_keys)s) ORDER BY episode_key;

-- name: assign
-- purpose: who is to see to these episodes (null: nobody); what is so already is left
UPDATE episodes SET assigned_to = %(to)s, assigned_at = CASE WHEN %(to)s::text IS NOT NULL THEN %(at)s::timestamptz END
WHERE episode_key = ANY(%(episode_keys)s) AND assigned_to IS DISTINCT FROM %(to)s
RETURNING episode_key;

-- name: confirm
-- purpose: what people found of an episode (null: nobody has said); what is so already is left
UPDATE episodes SET confirmed = %(confirmed)s,
    confirmed_by = CASE WHEN %(confirmed)s::boolean IS NOT NULL THEN %(actor)s::text END,
    confirmed_at = CASE WHEN %(confirmed)s::boolean IS NOT NULL THEN %(at)s::timestamptz END
WHERE episode_key = %(episode_key)s AND confirmed IS DISTINCT FROM %(confirmed)s
RETURNING alarm_key, episode;

-- name: comment
-- purpose: what somebody has to say about these episodes
INSERT INTO comments (episode_key, at, actor, text)
SELECT episode_key, %(at)s, %(actor)s, %(text)s FROM episodes WHERE episode_key = ANY(%(episode_keys)s) ORDER BY episode_key
RETURNING episode_key;

-- name: waiting_too_long
-- purpose: open acknowledged episodes that are to be reminded of: after their rule's time, else after that of their severity
SELECT e.episode_key, w.after_min
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN LATERAL (
    SELECT (body ->> 'realarm_min')::int AS after_min FROM rules
    WHERE rules.rule_id = al.rule_id AND scope = 'city' ORDER BY version DESC LIMIT 1
) r ON true
CROSS JOIN LATERAL (SELECT coalesce(r.after_min, (%(defaults_min)s::int[])[e.severity]) AS after_min) w
WHERE e.cleared_at IS NULL AND e.human = 'acknowledged' AND al.suppressed = '{}'
    AND w.after_min > 0 AND e.acknowledged_at <= %(now)s - make_interval(mins => w.after_min)
ORDER BY e.acknowledged_at LIMIT %(most)s;

-- name: subjects_of_order
-- purpose: the subjects and rules that a work order is about: of these devices by their rules in force, and what is on record of the asset
SELECT 'device' AS subject_kind, d.device_key::bigint AS subject_key, r.rule_id
FROM devices d
JOIN (
    SELECT DISTINCT ON (rule_id) rule_id, withdrawn, body ->> 'family' AS family
    FROM rules WHERE scope = 'city' ORDER BY rule_id, version DESC
) r ON NOT r.withdrawn AND (r.family = d.family OR (r.family IS NULL AND r.rule_id LIKE 'device.%%'))
WHERE (d.device_key = %(device_key)s OR d.asset_key = %(asset_key)s) AND d.status <> 'retired'
    AND (r.rule_id = ANY(%(rules)s) OR split_part(r.rule_id, '.', 1) = ANY(%(groups)s))
UNION
SELECT al.subject_kind, al.subject_key, al.rule_id
FROM alarms al
WHERE (al.device_key = %(device_key)s OR al.asset_key = %(asset_key)s)
    AND (al.rule_id = ANY(%(rules)s) OR split_part(al.rule_id, '.', 1) = ANY(%(groups)s))
ORDER BY 1, 2, 3;
