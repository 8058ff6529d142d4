-- The roles, made once by the administrator in the product's own database, before the first migration:
--   psql --dbname clinic_billing --file roles.sql
-- Then give the two that log in a password (\password clinic_billing_owner, \password clinic_billing_app).
--
-- clinic_billing_owner  owns the tables and runs migrations; no process that serves has its password
-- clinic_billing_app    reads and writes rows; can neither change a table nor switch off what guards it
-- clinic_billing_api    what the API becomes within each of its transactions: row-level security goes by it
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['clinic_billing_owner', 'clinic_billing_app', 'clinic_billing_api'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
ALTER ROLE clinic_billing_owner LOGIN;
ALTER ROLE clinic_billing_app LOGIN;
ALTER ROLE clinic_billing_api NOLOGIN;
-- The owner too: a migration asks whether it is a member.
GRANT clinic_billing_api TO clinic_billing_owner, clinic_billing_app;

-- A migration waits three seconds for a lock and gives up: who queues behind a waiting ALTER TABLE is everybody.
ALTER ROLE clinic_billing_owner SET lock_timeout = '3s';
-- A transaction that waits for nothing holds locks for nothing. Longest statement: the hourly run, a chunk of 500 offices.
ALTER ROLE clinic_billing_app SET idle_in_transaction_session_timeout = '2min';
ALTER ROLE clinic_billing_app SET statement_timeout = '10min';

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO clinic_billing_owner, clinic_billing_app', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO clinic_billing_owner;
GRANT USAGE ON SCHEMA public TO clinic_billing_app, clinic_billing_api;

-- What is there, and what a later migration makes. No TRUNCATE, no REFERENCES, no TRIGGER.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clinic_billing_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clinic_billing_app;
ALTER DEFAULT PRIVILEGES FOR ROLE clinic_billing_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clinic_billing_app;
ALTER DEFAULT PRIVILEGES FOR ROLE clinic_billing_owner IN SCHEMA public
    GRANT USAGE ON SEQUENCES TO clinic_billing_app;
