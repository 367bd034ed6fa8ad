-- What a year leaves behind in the small city of grafana_city.sql: enough that reading all of it would be chosen by no planner.
INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, human,
    raised_at, raised_received_at, committed_at, cleared_at, cleared_received_at, proof)
SELECT alarm_key, 1 + n, 1, '标题', 'normal', 3, 3, 'acknowledged', at, at, at, at + interval '1 hour', at + interval '1 hour', '{}'
FROM alarms, generate_series(1, 300) n, LATERAL (SELECT now() - n * interval '1 day' AS at) a;

INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, state, snapshot,
    created_at, settled_at)
SELECT
    'h' || sink_key || '-' || alarm_key || '-' || episode, sink_key, alarm_key, episode, episode, 'raise', 3, 'delivered',
    jsonb_build_object('raised_received_at', raised_received_at), committed_at, committed_at
FROM episodes, sinks
WHERE episode > 1;

INSERT INTO books (shard, minute, received, stored)
SELECT 'main', date_trunc('minute', now()) - m * interval '1 minute', 9, 9 FROM generate_series(1000, 20000) m;
INSERT INTO quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail)
SELECT 'main', now() - n * interval '1 hour', 'x', '\x00', '\x00', n, 'undecodable', '' FROM generate_series(10, 9000) n;
INSERT INTO report_road (device_key, ts, digest, depth_cm, received_at, quality)
SELECT device_key, at, 0, 0, at, 0
FROM devices, generate_series(1, 800) n, LATERAL (SELECT now() - interval '1 day' - n * interval '15 minutes' AS at) a
WHERE family = 'road';
