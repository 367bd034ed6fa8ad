-- The audit log as evidence: what machines do is in it too, one sealer chains its rows, and services may only add to it.

-- The chain -----------------------------------------------------------------------------------------------------------
-- A row's seal covers the row and the seal before it (underfoot/audit/chain.py has the form). No foreign key: a seal
-- whose row is gone is what shows that it is gone.

CREATE TABLE audit_seals (
    audit_key bigint PRIMARY KEY,
    sealed_at timestamptz NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Lists are by time, the newest first.
CREATE INDEX audit_at ON audit (at, audit_key);
CREATE INDEX audit_actor ON audit (actor, at, audit_key);
CREATE INDEX audit_action ON audit (action, at, audit_key);
DROP INDEX audit_subject;
CREATE INDEX audit_subject ON audit (subject, at, audit_key);

-- What machines do ----------------------------------------------------------------------------------------------------
-- By triggers, so that no way of writing it goes past the log: whoever moves an alarm or settles a delivery enters it.

CREATE FUNCTION audit_transitions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (actor, action, subject, detail)
    SELECT t.actor, 'alarm.transition',
        coalesce(
            -- Not joined: a plan that this session keeps must go by the index whatever the first batch was.
            (SELECT 'episode:' || e.episode_key FROM episodes e WHERE e.alarm_key = t.alarm_key AND e.episode = t.episode),
            'alarm:' || t.alarm_key
        ),
        jsonb_build_object(
            'alarm_key', t.alarm_key, 'episode', t.episode, 'transition_no', t.transition_no, 'region', t.region,
            'from', t.from_state, 'to', t.to_state, 'severity', t.severity, 'reason', t.reason,
            'event_at', t.event_at, 'received_at', t.received_at,
            'proof_sha256', encode(sha256(convert_to(t.proof::text, 'UTF8')), 'hex')
        )
    FROM added t
    ORDER BY t.transition_key;
    RETURN NULL;
END $$;
CREATE TRIGGER transitions_audited AFTER INSERT ON transitions REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION audit_transitions();

CREATE FUNCTION audit_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (actor, action, subject, detail)
    VALUES (
        'dispatch', 'delivery.' || NEW.state, 'delivery:' || NEW.delivery_key,
        jsonb_build_object(
            'alarm_key', NEW.alarm_key, 'episode', NEW.episode, 'transition_no', NEW.transition_no,
            'notice', NEW.notice, 'sink_key', NEW.sink_key, 'verdict', NEW.verdict, 'attempts', NEW.attempts,
            'receipt', NEW.receipt
        )
    );
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_audited AFTER UPDATE ON outbox FOR EACH ROW
    WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state <> 'owed') EXECUTE FUNCTION audit_delivery();

-- What services may ---------------------------------------------------------------------------------------------------
-- Roles belong to the cluster, not to this database: another database of ours may have made it, or be making it now.

CREATE FUNCTION ensure_services(services name DEFAULT 'underfoot_services') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = services) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', services);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            RAISE DEBUG 'role % was made by another database at this moment', services;
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA public, dashboard TO %I', services);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', services);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA dashboard TO %I', services);
    -- Tables of later versions, when whoever migrates now makes them.
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', services);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA dashboard GRANT SELECT ON TABLES TO %I', services);
    -- What is only ever added to. Of an audit row neither the number nor the time is the service's to say.
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON audit, audit_seals, transitions, migrations FROM %I', services);
    EXECUTE format('GRANT INSERT (actor, action, subject, detail) ON audit TO %I', services);
    EXECUTE format('GRANT INSERT ON audit_seals, transitions TO %I', services);
END $$;
COMMENT ON FUNCTION ensure_services(name) IS
    'the role whose members may do all that services do, and no more: in the audit log they read and add';

REVOKE ALL ON FUNCTION ensure_services(name) FROM PUBLIC;

DO $$
BEGIN
    PERFORM ensure_services();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'this user may not create the role underfoot_services: whoever may, calls SELECT ensure_services()';
END $$;
