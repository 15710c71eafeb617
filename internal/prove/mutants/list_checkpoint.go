package main

// checkpoints are the guards of SQLite's log while it is copied into the file.
func checkpoints() []mutant {
	log := func(name, takes, old, changed, run string) mutant {
		return onSQLite(mutant{name: "log: " + name, takes: takes, edits: one("store/sqlite/checkpoint.go", old, changed)}, run)
	}
	const inTurn = "TestWhatIsLeftIsCopied"
	return []mutant{
		onSQLite(mutant{name: "log: the file is synced", takes: "the log begins anew only after all that was copied is synced",
			edits: one("store/sqlite/sqlite.go", `"busy_timeout(0)", "query_only(1)", synchronous}`, `"busy_timeout(0)", "query_only(1)", "synchronous(off)"}`)}, "TestTheFileIsSynced"),
		log("in the writer's turn", "what is left is copied while nobody writes", `	if err := c.writer.wait(c.ctx); err != nil {
		return p, false, err
	}
	end := sync.OnceFunc(c.writer.end)
`, `	end := sync.OnceFunc(func() {})
`, inTurn),
		log("the turn is given back", "a sync that takes long holds up no commit", `limit := turnLimit`, `limit := time.Hour`, inTurn),
		log("alone", "a log to which somebody wrote meanwhile isn't taken for copied", `alone && p.left() == 0`, `(alone || true) && p.left() == 0`, inTurn),
		log("told", "a log that can't be copied is told of", `	c.failed = err
`, `	_ = err
`, "TestACheckpointThatFails"),
		log("long readers are told", "a log that somebody holds up is told of", `case p.log >= 8*c.after:`, `case false:`, "TestAReaderHoldsTheLogUp"),
		log("readers that overlap", "a log that readers overlap on begins anew", `if c.restartable(p) {`, `if c.restartable(p) && false {`, "TestReadersThatOverlap"),
		log("the writer waits rarely", "readers who take long hold up few commits", `c.written.Load()-c.tried >= c.rest`, `c.rest > 0`, "TestReadersWhoOverlapForLong"),
		log("the writer is held up for a while", "copying before readers are waited for holds up commits no longer than it may", `c.ask(held, `, `c.ask(c.ctx, `, "TestCopyingEnds"),
		log("the writer waits for no old state", "a backup holds up no commit", `p.left() <= c.after
`, `p.left() <= 1<<40
`, "TestAReaderHoldsTheLogUp"),
		log("a lock that is held is told", "a log that another program holds up is told of", `			err = errHeld
`, ``, "TestAnotherProgramHoldsTheLock"),
		log("tried again", "a log that somebody held up is looked at soon", `next := c.after / 8 //`, `next := int64(1<<40) //`, "TestAReaderHoldsTheLogUp"),
		log("the application's", "what the application writes counts", `c.written.Add(int64(pages)) < c.due.Load()`, `c.written.Add(1) < c.due.Load()`, "TestApplicationsFillTheLog"),
		onGate(mutant{name: "log: an alarm", takes: "a log that grows is an alarm", edits: one("watch.go", `	w.lookAtLog(ctx)
`, ``)}, "TestALogThatGrows"),
	}
}
