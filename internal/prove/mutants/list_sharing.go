package main

const (
	sharedBatch = "store/sqlite/batch.go"
	sharedGuard = "store/sqlite/guard.go"
)

// sharing are the guards of commits that share a transaction on SQLite: of what they
// are told once, and of what one that fails leaves behind.
func sharing() []mutant {
	held := func(name, takes, file, old, changed, run string) mutant {
		return onSQLite(mutant{name: "held: " + name, takes: takes, edits: one(file, old, changed)}, run)
	}
	shared := func(name, takes, file, old, changed, run string) mutant {
		return onSQLite(mutant{name: "shared transaction: " + name, takes: takes, edits: one(file, old, changed)}, run)
	}
	const revocation = "TestARevocationCounts"
	return []mutant{
		held("after a change of an actor", "what was told of an actor counts no more when one was changed", sharedCommit, `		held.Forget()
		held = nil
`, ``, revocation),
		held("actor's version", "what was told of an actor counts for that version of him", "internal/sqlstore/held.go", `held.Version == k.Version && `, ``, revocation),
		held("actor's digest", "what was told of an actor counts for that content of him", "internal/sqlstore/held.go", `bytes.Equal(held.Digest, k.Digest)`, `len(held.Digest) == len(k.Digest) && !bytes.Equal(k.Digest, nil)`, revocation),
		held("what time can end", "rules that are accepted for a while are asked for each time", sharedCommit, `if active == 1 {`, `if found {`, "TestOnlyWhatTime"),
		held("after a write", "what isn't a commit may have changed anything", sharedBatch, `		b.held.Forget()
`, ``, "TestAWriteForgets"),
		held("own rules", "rules are asked for by their own name", "internal/sqlstore/held.go", `return h != nil && h.rules[[2]string{r.Machine, r.ID}]`, `return h != nil && len(h.rules) > 0`, "TestConformance/sqlite_memory/together"),
		held("own epoch", "the epoch is asked for by its own name", "internal/sqlstore/held.go", ` && h.epoch == epoch }`, ` && h.epoch != "" }`, "TestConformance/sqlite_memory/together"),
		shared("a failed commit's rows", "what fails after it has written leaves nothing", sharedBatch, `(b.touched || !refused(p.err))`, `false`, "TestAFailureInTheMidst"),
		onSQLite(mutant{name: "shared transaction: a late refusal's rows", takes: "what is refused after it has written leaves nothing, whoever thought that it couldn't be",
			edits: one(sharedBatch, `(b.touched || !refused(p.err))`, `!refused(p.err)`).and("internal/sqlstore/encoded.go", `return e.Idempotency != nil || `, `return `)}, "TestAKeyOfARefused"),
		shared("a refused commit's key", "what is refused late leaves nothing", sharedBatch, `		if _, err := b.connection.Exec(ctx, "ROLLBACK TO one"); err != nil {
			return spoiler{p}
		}
`, ``, "TestAKeyOfARefused|TestConformance/sqlite_memory/together"),
		shared("run again by itself", "one that fails isn't felt by others", sharedBatch, `		case !errors.Is(err, errAgain):`, `		default:`, "TestAFailureInTheMidst"),
		shared("a connection that broke", "who comes next has a connection without a transaction", sharedGuard, `t.of.spoilt = t.of.spoilt || err != nil`, ``, "TestAConnectionThatBreaks|TestADriverThatPanics"),
		shared("a spoilt connection", "a connection that panicked is used no more", sharedGuard, `return !c.spoilt && c.driverConn.IsValid()`, `return c.driverConn.IsValid()`, "TestAPanicInside"),
		shared("a busy file", "a connection is kept where it is the file that is busy", sharedGuard, `e.Code()&0xff != sqlite3.SQLITE_BUSY)`, `e.Code()&0xff != sqlite3.SQLITE_FULL)`, "TestLeavingWhile"),
		shared("a panic in the driver", "a panic inside the database is an error", sharedGuard, `	defer s.of.guard(&err)
	return s.preparedStmt.ExecContext`, `	return s.preparedStmt.ExecContext`, "TestAPanicInside"),
		shared("run again without it", "what ended the transaction is felt by nobody else", sharedBatch, `		case b.spoilt && p.err != nil:
			return spoiler{p}
`, ``, "TestAPanicInside"),
		shared("ended by a statement", "a commit that rolls back all of the transaction is felt by nobody else", sharedBatch, `			return spoiler{p}
		}
	}
	_, err`, `			return err
		}
	}
	_, err`, "TestWhatEnds"),
		shared("refused on nothing", "a refusal that rests on what was rolled back isn't told", sharedBatch, `err != nil && p.behind && refused(p.err)`, `err != nil && p.behind && refused(p.err) && false`, "TestARefusalOnWhat"),
		shared("the context's end", "what follows when database/sql has ended the transaction isn't committed by itself", "store/sqlite/writer.go", `!own.open || own.spoilt`, `own.spoilt`, "TestNothingFollowsATransaction"),
		shared("a lost transaction", "what follows when SQLite has ended the transaction isn't committed by itself", sharedGuard, `c.lost = c.lost || c.open })`, `c.lost = c.lost || c.open && false })`, "TestNothingFollowsALost"),
		shared("a handler's row", "the application's row and the transition are one", sharedGuard, `c.lost = c.lost || c.open })`, `c.lost = c.lost || c.open && false })`, "TestAHandlersRow"),
		shared("the application's commit", "nothing is committed but by the transaction's commit", sharedGuard, `return 1 // it`, `return 0 // it`, "TestTheEndBehind"),
		shared("a panic passed over", "nothing that a panic has left half done is committed", sharedGuard, `c.lost || c.open && c.spoilt`, `c.lost`, "TestAPanicPassedOver"),
		shared("a lost transaction's end", "what certainly wasn't written isn't told as unknown", "store/sqlite/database.go", `errors.Is(err, errEnded)`, `false`, "TestALostTransactionOfOurs"),
		shared("closed in the midst", "the file is another's only when the transaction has ended", "store/sqlite/sqlite.go", `		_ = s.writer.wait(context.Background()) // which nothing ends
		defer s.writer.end()
`, ``, "TestCloseWaits"),
		shared("kept though unknown", "what is kept of a commit is known to be committed", sharedBatch, `if err == nil && p.err == nil && p.commit`, `if p.err == nil && p.commit`, "TestAConnectionThatBreaks"),
	}
}
