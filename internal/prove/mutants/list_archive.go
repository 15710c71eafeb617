package main

const (
	archiver   = "archive.go"
	archivedOf = "verify_archived.go"
)

// archiving are what lets rows leave history, and what finds those that left otherwise.
func archiving() []mutant {
	shared := func(name, takes, file, old, changed, run string) mutant {
		return onSQLite(mutant{name: "archive: " + name, takes: takes, edits: one(file, old, changed)}, "TestConformance/sqlite_memory/"+run)
	}
	gate := func(name, takes, file, old, changed, run string) mutant {
		return onGate(mutant{name: "archive: " + name, takes: takes, edits: one(file, old, changed)}, run)
	}
	byCommit, only, missing := "archive/archived_by_a_commit", "archive/rows_that_nobody", "archive/rows_that_are_missing"
	postgres := func(name, takes, file, old, changed, run string) mutant {
		return onPostgres(mutant{name: "archive: " + name, takes: takes, edits: one(file, old, changed)}, "TestConformance/pgx/"+run)
	}
	return []mutant{
		shared("all of them", "only rows leave that are in the file, and all of these", "internal/sqlstore/archive.go",
			`if rows != a.Through-a.After {`, `if rows < 0 {`, byCommit),
		shared("the newest stay", "the row before the $archive stays", "internal/sqlstore/archive.go",
			`|| a.Through >= rec.Seq-1 {`, `{`, byCommit),
		shared("the trigger", "the database lets no row go that its chain doesn't say is archived", "store/sqlite/migrations/0005_archive.sql",
			`WHERE OLD.seq > coalesce((`, `WHERE OLD.seq < coalesce((`, only),
		shared("the newest row says it", "what an older row said lets nothing go", "store/sqlite/migrations/0005_archive.sql",
			`	ORDER BY a.seq DESC LIMIT 1`, `	AND a.event = '$archive' ORDER BY a.seq DESC LIMIT 1`, only),
		shared("the trigger is looked at", "a trigger that forbids less is found", "store/sqlite/database.go",
			`AND tbl_name = $2 AND sql = $3`, `AND tbl_name = $2 AND sql LIKE '%RAISE(ABORT, %' AND $3 <> ''`, "history/guards"),
		postgres("the trigger, PostgreSQL", "as on SQLite", "store/postgres/migrations/0005_archive.sql",
			`IF OLD.seq > through THEN`, `IF OLD.seq < through THEN`, only),
		postgres("the newest row says it, PostgreSQL", "as on SQLite", "store/postgres/migrations/0005_archive.sql",
			`		ORDER BY a.seq DESC LIMIT 1`, `		AND a.event = '$archive' ORDER BY a.seq DESC LIMIT 1`, only),
		postgres("the trigger is looked at, PostgreSQL", "as on SQLite", "store/postgres/dialect.go",
			`p.prosrc = $3`, `$3 <> ''`, "history/guards"),
		shared("rows that are missing", "an $archive excuses only the rows that it speaks of", archivedOf,
			`if j := v.jumpAt[said.through+1]; j != nil && bytes.Equal(j.row.Prev, said.hash) {`, `for _, j := range v.jumps {`, missing),
		shared("rows that nobody speaks of", "rows that are missing without an $archive are found", archivedOf,
			`if j.said == nil {
			v.bad`, `if j.row == nil {
			v.bad`, missing),
		onPackage(mutant{name: "archive: rows that no file has", takes: "a row that is archived, and in no file, is found where the files are at hand", edits: one(archivedOf,
			`} else if v.files != nil {`, `} else if v.files != nil && j.after < 0 {`)}, "./archive", "TestTamperedFiles"),
		shared("the newest file", "texts that were erased before the next run aren't taken from the file of the one before", "archive/merge.go",
			`n == 0 && c.place > next.place`, `n == 0 && c.place < next.place`, "archive/archived_after"),
		gate("erased meanwhile", "texts that were erased while rows left don't come back in a file", archiver,
			`	if version == p.version {`, `	if version > 0 {`, "TestArchiveKeepsNoErasedTexts"),
		gate("proof is kept", "the texts of an $archive are not erased", archivedOf,
			`return event == "$erase" || event == archiveEvent`, `return event == "$erase"`, "TestEraseTellsOfArchivedRows"),
		gate("young rows", "rows that idempotency keys speak of stay", archiver, `case a.req.Before.After(`, `case a.req.Before.IsZero() && a.req.Before.After(`, "TestArchiveRefuses"),
		gate("both clocks", "a clock that stood in the past makes no row old", archiver, `|| !r.Stamp.Before(a.req.Before) {`, `{`, "TestArchiveGoesByBothClocks"),
		gate("the operator", "nobody but the operator archives", archiver, `case a.by.Kind != System:`, `case false:`, "TestArchiveRefuses"),
		gate("another row's answer", "a key is answered by its own row or not at all", "idempotency.go", `|| rows[0].Seq != held.Seq {`, `{`, "TestKeyOfAnArchivedRow"),
		gate("what nobody looked at", "what a witness knows of archived rows isn't proved without their files", "verify.go", `len(r.Bad) == 0 && r.Unseen == 0`, `len(r.Bad) == 0`, "TestWitnessOfArchivedRows"),
		onPackage(mutant{name: "archive: a checkpoint over the unseen", takes: "no checkpoint is signed over heads that can't be found any more", edits: one("checkpoint/former.go",
			`if !holds(rows, &m) {`, `if len(rows) == 0 {`)}, "./checkpoint", "TestNoCheckpointOverWhatIsArchived"),
		gate("what a witness knows", "a witness of the last archived row is held against what history says of it", archivedOf,
			`case bytes.Equal(m.Hash, j.said.hash):`, `case len(m.Hash) > 0:`, "TestArchive$"),
		onPackage(mutant{name: "archive: another file", takes: "a file that isn't the one that was written is found", edits: one(archivedOf,
			`case !bytes.Equal(file.SHA256, said.sum) && file.Erased <= said.erased:`, `case false:`)}, "./archive", "TestTamperedFiles"),
		onPackage(mutant{name: "archive: erased in files", takes: "texts that history names as erased leave the files", edits: one("archive/erase.go",
			`if gone[at(r, r.Seq)] && !r.Erased {`, `if gone[at(r, -r.Seq)] && !r.Erased {`)}, "./archive", "TestErasing$"),
		onPackage(mutant{name: "archive: erased in history first", takes: "no texts leave the files that history doesn't name as erased", edits: one("archive/erase.go",
			`if len(committed) != 1 || committed[0].ID != n.row.ID {`, `if len(committed) > 1 {`)}, "./archive", "TestErasingThatIsNotCommitted"),
		onPackage(mutant{name: "archive: texts that are back", takes: "texts that were erased, and stand in a file, are found", edits: one("verify_erased.go",
			`|| !stored && v.files != nil && v.files.HasTexts(r.Tenant, ref, seq) {`, `{`)}, "./archive", "TestErasingThatEndedInBetween"),
		onPackage(mutant{name: "archive: a missing file", takes: "a file that history names and that isn't there is found", edits: one(archivedOf,
			`	case !ok:
		v.bad`, `	case !ok && file.Size > 0:
		v.bad`)}, "./archive", "TestTamperedFiles"),
	}
}
