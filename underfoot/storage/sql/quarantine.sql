-- name: known
-- purpose: which of these packets are in quarantine already
SELECT packet_id, digest FROM quarantine WHERE digest = ANY(%(digests)s);

-- name: add
-- purpose: keep what could not be understood, whole
INSERT INTO quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail, device_id)
VALUES (
    %(shard)s, 'epoch'::timestamptz + %(received_us)s * interval '1 microsecond', %(topic)s, %(payload)s, %(digest)s,
    %(packet_id)s, %(reason)s, %(detail)s, %(device_id)s
);
