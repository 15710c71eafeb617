-- Rows may leave history that the newest row of their own chain says are archived; no others.
CREATE FUNCTION il.refuse_unarchived() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	newest  record;
	through bigint := 0;
BEGIN
	SELECT a.event, t.input INTO newest
		FROM il.history a LEFT JOIN il.texts t ON t.tenant = a.tenant AND t.machine = a.machine AND t.instance = a.instance AND t.seq = a.seq
		WHERE a.tenant = OLD.tenant AND a.machine = OLD.machine AND a.instance = OLD.instance
		ORDER BY a.seq DESC LIMIT 1;
	IF newest.event = '$archive' AND newest.input <> '' THEN
		through := coalesce((newest.input::json->>'through')::bigint, 0);
	END IF;
	IF OLD.seq > through THEN
		RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
	END IF;
	RETURN OLD;
END $$;

DROP TRIGGER history_no_change ON il.history;
CREATE TRIGGER history_no_change BEFORE UPDATE ON il.history FOR EACH ROW EXECUTE FUNCTION il.refuse_change();
CREATE TRIGGER history_no_delete BEFORE DELETE ON il.history FOR EACH ROW EXECUTE FUNCTION il.refuse_unarchived();

ALTER TABLE il.history ENABLE ALWAYS TRIGGER history_no_change;
ALTER TABLE il.history ENABLE ALWAYS TRIGGER history_no_delete;

GRANT DELETE ON il.history TO CURRENT_USER;
