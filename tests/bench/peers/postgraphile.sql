-- What PostGraphile shows: of each table what Patchbay's answer has, and the connectors, which are files with Patchbay.
DROP SCHEMA IF EXISTS measured CASCADE;
CREATE SCHEMA measured;

CREATE TABLE measured.connector (key text PRIMARY KEY, name text NOT NULL);
INSERT INTO measured.connector VALUES ('measured', 'Measured');

CREATE VIEW measured.folder AS SELECT id, name FROM public.folder;
COMMENT ON VIEW measured.folder IS '@primaryKey id';

CREATE VIEW measured.connection AS
SELECT id, name, name_key, status, status_changed_at, is_default, account, scopes, expires_at,
  CASE WHEN renewable THEN due_at END AS next_refresh_at, last_refreshed_at, created_at, updated_at, connector_key, folder_id
FROM public.connection;
COMMENT ON VIEW measured.connection IS '@primaryKey id
@foreignKey (connector_key) references measured.connector (key)|@fieldName connector
@foreignKey (folder_id) references measured.folder (id)|@fieldName folder';
