-- What search compares: the name as the server folds it, and the name that it was folded from. An older server leaves both as
-- they were, so a row is folded again where the second is not the name.
ALTER TABLE organizations ADD COLUMN search_name TEXT;
ALTER TABLE organizations ADD COLUMN search_name_of TEXT;
CREATE INDEX organizations_to_fold ON organizations (id)
    WHERE search_name_of IS DISTINCT FROM name AND deleted_at IS NULL;
