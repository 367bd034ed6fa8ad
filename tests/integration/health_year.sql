-- A year's record of 1 000 alarms, 40 episodes each, with all that comes with an episode.
SET session_replication_role = replica;
INSERT INTO alarms (subject_kind, subject_key, rule_id, area_code, episode, transition_no)
SELECT 'asset', n, 'x.y', CASE WHEN n % 2 = 0 THEN '410502' ELSE '410503' END, 40, 80 FROM generate_series(1, 1000) n;
INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, human, raised_at,
    raised_received_at, committed_at, cleared_at, cleared_received_at, acknowledged_at, proof)
SELECT alarm_key, e, 1, 't', 'normal', 2, 2, CASE WHEN e % 20 = 0 THEN 'unacknowledged' ELSE 'acknowledged' END, at, at, at,
    CASE WHEN e < 40 OR alarm_key % 50 > 0 THEN at + interval '1 hour' END,
    CASE WHEN e < 40 OR alarm_key % 50 > 0 THEN at + interval '1 hour' END, at, '{}'
FROM alarms CROSS JOIN generate_series(1, 40) e CROSS JOIN LATERAL (
    SELECT '2026-01-01Z'::timestamptz + ((subject_key * 7919) % 9000 + e * 9000) * interval '80 seconds' AS at) times;
INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity, reason, actor, event_at,
    received_at, committed_at)
SELECT alarm_key, episode * 2 - n, episode, 'condition', 'normal', 'active', 2, 'limit_reached', 'engine', raised_at,
    raised_at, committed_at
FROM episodes CROSS JOIN (VALUES (0), (1)) AS twice (n);
INSERT INTO suppressions (alarm_key, kind, cause, since, reason, actor, ended_at)
SELECT alarm_key, 'shelved', episode::text, committed_at, 'r', 'x', committed_at + interval '1 day' FROM episodes WHERE episode % 2 = 0;
INSERT INTO comments (episode_key, at, actor, text) SELECT episode_key, committed_at, 'x', 't' FROM episodes;
INSERT INTO duty_notes (at, actor, text) SELECT committed_at, 'x', 't' FROM episodes;
INSERT INTO sinks (name, channel, audience, config) VALUES ('p', 'platform', 'platform', '{}');
INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, state, snapshot, created_at,
    settled_at)
SELECT episode_key::text, sink_key, alarm_key, episode, episode * 2, 'raise', 2,
    CASE WHEN episode_key % 1000 = 0 THEN 'dead' WHEN episode_key % 1000 = 1 THEN 'owed' ELSE 'delivered' END, '{}', committed_at,
    committed_at + interval '1 second'
FROM episodes CROSS JOIN sinks;
INSERT INTO books (shard, minute) SELECT 'main', '2026-01-01Z'::timestamptz + n * interval '10 minutes' FROM generate_series(1, 52560) n;
INSERT INTO escalations (alarm_key, episode, waiting_since, level, severity, told_at, told, transition_no)
SELECT alarm_key, episode, committed_at, 1, 2, committed_at, '[]', 1 FROM episodes;
RESET session_replication_role;
ANALYZE;
