-- name: find_key
-- purpose: whose secret this is, unless it was revoked or is too old
SELECT name, role, areas, units FROM api_keys
WHERE secret_hash = %(secret_hash)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp());

-- name: create_key
-- purpose: keep a new key's hash; no row where the name is taken, a revoked key's included
INSERT INTO api_keys (name, role, areas, units, expires_at, secret_hash)
VALUES (%(name)s, %(role)s, %(areas)s::text[], %(units)s::text[], %(expires_at)s, %(secret_hash)s)
ON CONFLICT (name) DO NOTHING
RETURNING name, role, areas, units, created_at, expires_at, revoked_at;

-- name: list_keys
-- purpose: keys by name, revoked ones among them; never a hash
SELECT name, role, areas, units, created_at, expires_at, revoked_at FROM api_keys
WHERE name > %(after)s
ORDER BY name
LIMIT %(limit)s;

-- name: lock_key
-- purpose: one key, held until the end of the transaction
SELECT name, role, areas, units, created_at, expires_at, revoked_at FROM api_keys WHERE name = %(name)s FOR UPDATE;

-- name: revoke_key
-- purpose: make a key useless from now on
UPDATE api_keys SET revoked_at = clock_timestamp() WHERE name = %(name)s
RETURNING name, role, areas, units, created_at, expires_at, revoked_at;
