-- name: secrets
-- purpose: the secrets whose links may still be good, the newest first, each with when a newer one took its place
SELECT secret, lead(made_at) OVER (ORDER BY secret_key) AS retired_at
FROM link_secrets
WHERE secret_key >= (SELECT coalesce(max(secret_key) FILTER (WHERE voids_older), 0) FROM link_secrets)
ORDER BY secret_key DESC;

-- name: rotate
-- purpose: a new secret, which signs from now on
INSERT INTO link_secrets (secret, made_at, voids_older) VALUES (%(secret)s, %(at)s, %(voids_older)s) RETURNING secret_key;
