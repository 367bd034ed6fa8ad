-- Who may speak to us: accounts of devices, gateways, vendors and services, and the credentials that open them.

CREATE TABLE accounts (
    account_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('device', 'gateway', 'vendor', 'service')),
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9_-]{1,64}$'),  -- a device's device_id, a gateway's gateway_id
    device_key int UNIQUE REFERENCES devices (device_key),
    gateway_key int UNIQUE REFERENCES gateways (gateway_key),
    vendor text,                                            -- of a vendor account: devices.vendor it speaks for
    mappings text[] NOT NULL DEFAULT '{}',                  -- of a vendor account: names of the mappings it may use
    duty text CHECK (duty IN ('ingest', 'reader', 'commands')),  -- of a service account: what it is for
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, name),
    CHECK ((kind = 'device') = (device_key IS NOT NULL)),
    CHECK ((kind = 'gateway') = (gateway_key IS NOT NULL)),
    CHECK ((kind = 'vendor') = (vendor IS NOT NULL AND vendor <> '')),
    CHECK ((kind = 'service') = (duty IS NOT NULL))
);

CREATE TABLE credentials (
    -- A secret or a client certificate. An account has two user names, one a slot, so that an old and a new secret can
    -- both be valid for a while: a broker knows one secret a user name.
    credential_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_key int NOT NULL REFERENCES accounts (account_key),
    slot smallint NOT NULL CHECK (slot IN (0, 1)),
    secret_hash text CHECK (secret_hash LIKE '$7$%'),       -- as in mosquitto's password file; null: a certificate
    serial text UNIQUE,                                     -- of the certificate, hexadecimal
    common_name text,                                       -- of the certificate: the user name that it stands for
    issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    issued_by text NOT NULL,
    expires_at timestamptz,                                 -- null: never by itself
    revoked_at timestamptz,
    CHECK ((secret_hash IS NULL) <> (serial IS NULL)),
    CHECK ((serial IS NULL) = (common_name IS NULL)),
    CHECK (serial IS NULL OR expires_at IS NOT NULL)
);
CREATE UNIQUE INDEX credentials_one_secret ON credentials (account_key, slot)
    WHERE revoked_at IS NULL AND secret_hash IS NOT NULL;
CREATE INDEX credentials_account ON credentials (account_key, credential_key);
CREATE INDEX credentials_expiry ON credentials (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;

-- Whoever keeps a broker's files in step is told of every commit that may change what stands in them.
CREATE FUNCTION tell_identity_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('underfoot_identity', '');
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_told AFTER INSERT OR UPDATE OR DELETE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION tell_identity_changed();
CREATE TRIGGER credentials_told AFTER INSERT OR UPDATE OR DELETE ON credentials
    FOR EACH STATEMENT EXECUTE FUNCTION tell_identity_changed();
CREATE TRIGGER devices_told AFTER UPDATE OF district, family, vendor, gateway_key, status ON devices
    FOR EACH STATEMENT EXECUTE FUNCTION tell_identity_changed();
CREATE TRIGGER gateways_told AFTER UPDATE OF district ON gateways
    FOR EACH STATEMENT EXECUTE FUNCTION tell_identity_changed();
CREATE TRIGGER mappings_told AFTER INSERT OR UPDATE ON mappings
    FOR EACH STATEMENT EXECUTE FUNCTION tell_identity_changed();

ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_role_check,
    ADD CONSTRAINT api_keys_role_check CHECK (role IN ('viewer', 'operator', 'administrator', 'broker'));
