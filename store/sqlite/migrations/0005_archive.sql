-- Rows may leave history that the newest row of their own chain says are archived; no others.
DROP TRIGGER il.history_no_delete;

CREATE TRIGGER il.history_no_delete BEFORE DELETE ON il.history
BEGIN SELECT RAISE(ABORT, 'history is append-only') WHERE OLD.seq > coalesce((
	SELECT iif(a.event = '$archive' AND json_valid(t.input), CAST(json_extract(t.input, '$.through') AS INTEGER), 0)
	FROM il.history a LEFT JOIN il.texts t ON t.tenant = a.tenant AND t.machine = a.machine AND t.instance = a.instance AND t.seq = a.seq
	WHERE a.tenant = OLD.tenant AND a.machine = OLD.machine AND a.instance = OLD.instance
	ORDER BY a.seq DESC LIMIT 1), 0);
END;
