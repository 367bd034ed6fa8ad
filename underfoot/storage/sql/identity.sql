-- name: find_credential
-- purpose: the account and the hash of the secret that one user name stands for now, unless revoked, expired or retired
SELECT a.account_key, a.kind, a.name, coalesce(d.district, g.district) AS area, d.family, a.vendor, a.mappings, a.duty,
       c.secret_hash
FROM accounts a
JOIN credentials c ON c.account_key = a.account_key AND c.slot = %(slot)s
                  AND c.revoked_at IS NULL AND c.secret_hash IS NOT NULL
LEFT JOIN devices d ON d.device_key = a.device_key
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
WHERE a.kind = %(kind)s AND a.name = %(name)s
  AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
  AND d.status IS DISTINCT FROM 'retired';

-- name: certified_account
-- purpose: the account that a verified client certificate's common name stands for, as long as one such is good
SELECT a.account_key, a.kind, a.name, coalesce(d.district, g.district) AS area, d.family, a.vendor, a.mappings, a.duty
FROM accounts a
LEFT JOIN devices d ON d.device_key = a.device_key
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
WHERE a.kind = %(kind)s AND a.name = %(name)s AND d.status IS DISTINCT FROM 'retired'
  AND EXISTS (
      SELECT FROM credentials c
      WHERE c.account_key = a.account_key AND c.common_name = %(user_name)s
        AND c.revoked_at IS NULL AND c.expires_at > clock_timestamp());

-- name: session_of_shard
-- purpose: whether a client id is the one under which a shard's own session is kept at the broker
SELECT EXISTS (SELECT FROM shards WHERE 'underfoot-' || shard = %(client_id)s);

-- name: find_rights
-- purpose: the account of a user name that opens something now, and what a right to one topic depends on beside it
SELECT a.account_key, a.kind, a.name, coalesce(d.district, g.district) AS area, d.family, a.vendor, a.mappings, a.duty,
       bound.district AS bound_district, bound.family AS bound_family, bound.device_id AS bound_device_id,
       coalesce(mapped.topics, '{}') AS mapping_topics
FROM accounts a
LEFT JOIN devices d ON d.device_key = a.device_key
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
LEFT JOIN devices bound ON bound.device_id = %(topic_device_id)s AND bound.status <> 'retired'
    AND (a.kind = 'gateway' AND bound.gateway_key = a.gateway_key OR a.kind = 'vendor' AND bound.vendor = a.vendor)
LEFT JOIN LATERAL (
    SELECT array_agg(topic.pattern) AS topics FROM (
        SELECT DISTINCT ON (m.name) m.body, m.withdrawn FROM mappings m
        WHERE m.name = ANY (a.mappings) OR a.duty = 'ingest'
        ORDER BY m.name, m.version DESC
    ) newest
    CROSS JOIN LATERAL jsonb_array_elements_text(newest.body -> 'topics') AS topic (pattern)
    WHERE NOT newest.withdrawn
) mapped ON a.kind = 'vendor' OR a.duty = 'ingest'
WHERE a.kind = %(kind)s AND a.name = %(name)s AND d.status IS DISTINCT FROM 'retired'
  AND EXISTS (
      SELECT FROM credentials c
      WHERE c.account_key = a.account_key AND c.slot = %(slot)s AND c.revoked_at IS NULL
        AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
        AND (c.common_name IS NULL OR c.common_name = %(user_name)s));

-- name: mapping_topics
-- purpose: topic patterns of the mappings in force, by the mapping's name; null for names: of all of them
SELECT newest.name, topic.pattern FROM (
    SELECT DISTINCT ON (name) name, body, withdrawn FROM mappings
    WHERE %(names)s::text[] IS NULL OR name = ANY (%(names)s)
    ORDER BY name, version DESC
) newest
CROSS JOIN LATERAL jsonb_array_elements_text(newest.body -> 'topics') AS topic (pattern)
WHERE NOT newest.withdrawn
ORDER BY newest.name, topic.pattern;

-- name: live_secrets
-- purpose: every account and slot whose secret opens something now, for a password file
SELECT a.account_key, a.kind, a.name, coalesce(d.district, g.district) AS area, d.family, a.vendor, a.mappings, a.duty,
       c.slot, c.secret_hash
FROM credentials c
JOIN accounts a ON a.account_key = c.account_key
LEFT JOIN devices d ON d.device_key = a.device_key
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
WHERE c.revoked_at IS NULL AND c.secret_hash IS NOT NULL
  AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp()) AND d.status IS DISTINCT FROM 'retired'
ORDER BY a.account_key, c.slot;

-- name: live_listed
-- purpose: every user name of gateways, vendors and services that opens something now, by a secret or a certificate
SELECT DISTINCT a.account_key, a.kind, a.name, g.district AS area, NULL AS family, a.vendor, a.mappings, a.duty, c.slot
FROM accounts a
JOIN credentials c ON c.account_key = a.account_key AND c.revoked_at IS NULL
                  AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
WHERE a.kind <> 'device'
ORDER BY a.account_key, c.slot;

-- name: devices_of_gateways
-- purpose: the devices that each gateway with an account speaks for
SELECT a.account_key, d.district, d.family, d.device_id
FROM accounts a JOIN devices d ON d.gateway_key = a.gateway_key
WHERE d.status <> 'retired'
ORDER BY a.account_key, d.device_key;

-- name: devices_of_vendors
-- purpose: the devices that each vendor's account speaks for, and one more than a broker's file lists at most
SELECT a.account_key, d.district, d.family, d.device_id
FROM accounts a
CROSS JOIN LATERAL (
    SELECT district, family, device_id, device_key FROM devices
    WHERE vendor = a.vendor AND status <> 'retired' ORDER BY device_key LIMIT %(most)s + 1
) d
WHERE a.kind = 'vendor'
ORDER BY a.account_key, d.device_key;

-- name: void_certificates
-- purpose: certificates that open nothing although their own time is not over: revoked, or of what was retired or moved
SELECT c.serial, c.common_name, coalesce(c.revoked_at, c.issued_at) AS since
FROM credentials c
JOIN accounts a ON a.account_key = c.account_key
LEFT JOIN devices d ON d.device_key = a.device_key
WHERE c.serial IS NOT NULL AND c.expires_at > clock_timestamp()
  AND (c.revoked_at IS NOT NULL OR d.status = 'retired'
       OR d.device_key IS NOT NULL AND c.common_name <> d.district || '/' || d.family || '/' || d.device_id)
ORDER BY c.credential_key;

-- name: next_expiry
-- purpose: seconds until the next credential expires by itself
SELECT extract(epoch FROM min(expires_at) - clock_timestamp())::float8 FROM credentials
WHERE revoked_at IS NULL AND expires_at > clock_timestamp();

-- name: sessions_seen_since
-- purpose: whether each shard whose session a broker keeps has proven since then, by its probe, that it is connected
SELECT coalesce(bool_and(coalesce(caught_up_to > %(since)s, false)), true) FROM shards WHERE session_known;

-- name: accounts_for_update
-- purpose: accounts by kind and name, held until the end of the transaction
SELECT account_key, name FROM accounts WHERE kind = %(kind)s AND name = ANY (%(names)s) ORDER BY account_key FOR UPDATE;

-- name: open_device_accounts
-- purpose: an account for each of these devices that is in service and has none yet
INSERT INTO accounts (kind, name, device_key)
SELECT 'device', device_id, device_key FROM devices WHERE device_id = ANY (%(names)s) AND status <> 'retired'
ON CONFLICT (kind, name) DO NOTHING;

-- name: open_gateway_accounts
-- purpose: an account for each of these gateways that has none yet
INSERT INTO accounts (kind, name, gateway_key)
SELECT 'gateway', gateway_id, gateway_key FROM gateways WHERE gateway_id = ANY (%(names)s)
ON CONFLICT (kind, name) DO NOTHING;

-- name: open_account
-- purpose: an account of a vendor or a service; no row where there is one of this name
INSERT INTO accounts (kind, name, vendor, mappings, duty)
VALUES (%(kind)s, %(name)s, %(vendor)s, %(mappings)s, %(duty)s)
ON CONFLICT (kind, name) DO NOTHING
RETURNING account_key;

-- name: known_mappings
-- purpose: which of these names are mappings in force
SELECT name FROM (
    SELECT DISTINCT ON (name) name, withdrawn FROM mappings WHERE name = ANY (%(names)s) ORDER BY name, version DESC
) newest WHERE NOT withdrawn;

-- name: accounts_of
-- purpose: accounts by key, with what their user names are made of
SELECT a.account_key, a.kind, a.name, coalesce(d.district, g.district) AS area, d.family, a.vendor, a.mappings, a.duty,
       d.status IS NOT DISTINCT FROM 'retired' AS retired
FROM accounts a
LEFT JOIN devices d ON d.device_key = a.device_key
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
WHERE a.account_key = ANY (%(keys)s)
ORDER BY a.account_key;

-- name: secrets_of
-- purpose: credentials of these accounts that hold a user name, with whether they still open something
SELECT account_key, credential_key, slot, expires_at,
       expires_at IS NULL OR expires_at > clock_timestamp() AS good
FROM credentials
WHERE account_key = ANY (%(keys)s) AND revoked_at IS NULL AND secret_hash IS NOT NULL;

-- name: release
-- purpose: revoke these credentials, so that their user names are free
UPDATE credentials SET revoked_at = clock_timestamp()
WHERE credential_key = ANY (%(credential_keys)s) AND revoked_at IS NULL;

-- name: limit_overlap
-- purpose: let these credentials be good for so many seconds more at most
UPDATE credentials
SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %(seconds)s))
WHERE credential_key = ANY (%(credential_keys)s)
RETURNING account_key, expires_at;

-- name: keep_secrets
-- purpose: keep the hashes of new secrets
INSERT INTO credentials (account_key, slot, secret_hash, issued_by, expires_at)
SELECT account_key, slot, secret_hash, %(issued_by)s,
       clock_timestamp() + make_interval(secs => %(expires_in_s)s)
FROM unnest(%(account_keys)s::int[], %(slots)s::smallint[], %(hashes)s::text[]) AS new (account_key, slot, secret_hash)
RETURNING account_key, credential_key, expires_at;

-- name: keep_certificate
-- purpose: keep what is needed to know a certificate again, and to revoke it
INSERT INTO credentials (account_key, slot, serial, common_name, issued_by, expires_at)
VALUES (%(account_key)s, 0, %(serial)s, %(common_name)s, %(issued_by)s, %(expires_at)s)
RETURNING credential_key;

-- name: audit_many
-- purpose: append to the audit log what was done to many accounts, in the acting transaction
INSERT INTO audit (actor, action, subject, detail)
SELECT %(actor)s, %(action)s, subject, %(detail)s FROM unnest(%(subjects)s::text[]) AS about (subject);

-- name: list_credentials
-- purpose: credentials in the order of their issue, revoked and expired ones among them; never a hash
SELECT c.credential_key, a.account_key, a.kind, a.name, a.vendor, a.mappings, a.duty, c.slot, c.common_name,
       coalesce(d.district, g.district) AS area, d.family,
       c.secret_hash IS NULL AS certificate, c.issued_at, c.issued_by, c.expires_at, c.revoked_at,
       c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
           AND d.status IS DISTINCT FROM 'retired' AS good
FROM credentials c
JOIN accounts a ON a.account_key = c.account_key
LEFT JOIN devices d ON d.device_key = a.device_key
LEFT JOIN gateways g ON g.gateway_key = a.gateway_key
WHERE c.credential_key > %(after)s
  AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(name)s::text IS NULL OR a.name = %(name)s)
ORDER BY c.credential_key
LIMIT %(limit)s;

-- name: devices_without
-- purpose: devices in service, of one vendor or district or of all, for which no credential was ever issued
SELECT d.device_id FROM devices d
WHERE d.status <> 'retired'
  AND (%(vendor)s::text IS NULL OR d.vendor = %(vendor)s)
  AND (%(district)s::text IS NULL OR d.district = %(district)s)
  AND NOT EXISTS (SELECT FROM accounts a JOIN credentials c ON c.account_key = a.account_key
                  WHERE a.device_key = d.device_key)
ORDER BY d.device_key;
