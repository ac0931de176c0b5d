-- A row that `GET /ready` writes, to see whether the database takes writes.
CREATE TABLE write_probe (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    filler   BLOB NOT NULL
);

-- Shows that the file is together with its -wal: `storage/sqlite_file/copies.rs` says how.
CREATE TABLE wal_mark (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    in_main  BIGINT NOT NULL,
    in_wal   BIGINT NOT NULL
);

-- Which migrations older versions of the server cannot bear, and the version that is needed for each. An older server
-- looks here when it finds migrations that it does not know.
CREATE TABLE schema_requirements (
    migration     BIGINT NOT NULL PRIMARY KEY,
    needs_version TEXT NOT NULL
);
