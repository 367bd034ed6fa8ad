-- Links in messages: the secrets that sign them (underfoot/links.py has the form).

-- The newest signs; an older one is believed until the last link that it signed has run out, unless a newer one says
-- that no older one is to be believed any more.
CREATE TABLE link_secrets (
    secret_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret bytea NOT NULL CHECK (octet_length(secret) = 32),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    voids_older boolean NOT NULL DEFAULT false
);
CREATE TRIGGER link_secrets_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON link_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
COMMENT ON TABLE link_secrets IS 'who has one can make links: shown to nobody, not even in the audit log';

-- gen_random_uuid is as strong as the server's random numbers are; 366 bits of them.
INSERT INTO link_secrets (secret)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Services sign and read; to make a new one is an act of the owner. Whoever calls ensure_services() again grants
-- everything again, so this trigger stands for the table where a revocation would not last.
CREATE FUNCTION refuse_services() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION '% on %: only the owner of the database may', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER link_secrets_owner_only BEFORE INSERT ON link_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_services();
