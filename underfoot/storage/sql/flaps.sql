-- name: suppressed
-- purpose: alarms of a shard's devices, by rules that its holder judges, that nobody is told of since they flap
SELECT al.subject_key, al.rule_id
FROM alarms al
JOIN devices d ON d.device_key = al.device_key
WHERE al.suppressed <> '{}' AND al.suppressed @> ARRAY['flapping'] AND al.subject_kind = 'device' AND d.shard = %(shard)s
    AND NOT EXISTS (
        SELECT 1 FROM conditions c  -- rules over several devices remember their own
        WHERE c.shard = 'city' AND c.subject_kind = 'device' AND c.subject_key = al.subject_key AND c.rule_id = al.rule_id
    );
