package main

// ready are the guards of what is kept so that it needn't be read or made again.
func ready() []mutant {
	copies := func(name, takes, old, changed string) mutant {
		return onSQLite(mutant{name: "copies: " + name, takes: takes, edits: one("store/sqlite/copies.go", old, changed)},
			"TestWhatMayHaveChanged|TestConformance/sqlite_memory/read/")
	}
	engine := func(name, takes, file, old, changed, run string) mutant {
		return onPackage(mutant{name: name, takes: takes, edits: one(file, old, changed)}, "./policies", run)
	}
	return []mutant{
		copies("being changed", "what a transaction is changing isn't kept", `if c.writing[k] > 0 || c.changed`, `if c.changed`),
		copies("changed meanwhile", "what was read before a change isn't kept after it", ` || c.changed[slot(k)] > seen {`, ` {`),
		copies("dropped", "a change takes away what is kept of the row", `		delete(c.young, k)
		delete(c.old, k)
`, ``),
		copies("of an instance", "a commit of an instance takes away its copy", `keys = append(keys, rowKey{n.Tenant, n.Machine, n.ID})`, `keys = append(keys, rowKey{n.Tenant, "", n.ID})`),
		copies("of an actor", "a change of an actor takes away his copy", `	changes(c.Actor)
`, ``),
		copies("of who joins", "a commit that makes an actor's row takes away that there is none", `changes(a.Change)`, `_ = a`),
		onGate(mutant{name: "copies: one's own", takes: "what a caller does to his answer is nothing to the rows that are kept",
			edits: one("own.go", `return *i.own()`, `return *i`)}, "TestWhatIsAnswered"),
		onGate(mutant{name: "copies: a refusal's own", takes: "an instance in a refusal is the caller's own",
			edits: one("decide.go", `r.refusal.Instance.own()`, `r.refusal.Instance`)}, "TestWhatIsAnswered"),
		onGate(mutant{name: "copies: a hook's own", takes: "what a hook does to a transition is nothing to the rows that are kept",
			edits: one("fire.go", `after(ctx, t.own())`, `after(ctx, t)`)}, "TestWhatIsAnswered"),
		onGate(mutant{name: "lent to one alone", takes: "who promises not to write promises it for nobody else",
			edits: one("fire.go", `ctx, brief := lent.Of(ctx)`, `_, brief := lent.Of(ctx)`)}, "TestWhatIsLent"),
		copies("all or nothing", "an actor of whom nothing is kept isn't one whom there isn't", `		case a == nil:
			return nil, false
`, `		case a == nil:
`),
		copies("of the application", "a row that the application may change isn't kept", `if f.Instance == nil || f.IsBound {`, `if f.Instance == nil {`),
		copies("of an epoch", "a new epoch takes everything away", `	if f.Epoch != c.epoch {
		c.forget()`, `	if f.Epoch != c.epoch {`),
		onSQLite(mutant{name: "copies: settled at last", takes: "a transaction holds up copies until it has ended, and no longer",
			edits: one(sharedBatch, `	defer g.store.copies.settle(w)
`, ``).and(sharedBatch, `		return b.run(list)
	})
`, `		defer g.store.copies.settle(w)
		return b.run(list)
	})
`)}, "TestConformance/sqlite_memory/read/never"),
		onSQLite(mutant{name: "copies: settled in turn", takes: "a transaction is settled before the next begins",
			edits: one("store/sqlite/database.go", `	defer d.writer.end()
	w := `, `	w := `).and("store/sqlite/database.go", `	defer t.end()            //`, `	defer d.writer.end()
	defer t.end()            //`)}, "TestATransactionIsSettled"),
		onSQLite(mutant{name: "copies: what was rolled back", takes: "what is kept of a commit was committed",
			edits: one(sharedBatch, `if err == nil && p.err == nil && p.commit`, `if err == nil && p.commit`)}, "TestConformance/sqlite_memory/(commit|together|race)"),
		engine("memo of other rules", "an instance that other rules translated is translated anew", "policies/values.go", `func (own) owner(e *encoder) any                         { return e }`,
			`func (own) owner(*encoder) any                           { return 1 }`, "TestAnInstanceIsTranslatedOnce|TestBoth"),
		engine("memo's size", "what was translated before counts, too", "policies/encode.go", `b.add(at, one.bytes)`, `b.add(at, 0)`, "TestAnInstanceIsTranslatedOnce"),
		engine("memo's error", "an instance that can't be translated stays so", "policies/encode.go", `b.err = one.err`, `b.err = nil`, "TestAnInstanceIsTranslatedOnce"),
		onGate(mutant{name: "memo of an actor", takes: "what a menu asks of one person isn't asked of another",
			edits: one("frame.go", `	m := a.persons[person]
`, `	m := a.persons[a.machine.Name()]
`).and("frame.go", `a.persons[person] = m`, `a.persons[a.machine.Name()] = m`)}, "TestMenuMemos"),
		engine("names that rules read", "a rule that reads who was there by a computed name finds all", "policies/inputread.go", `		if r.whole {
			return true
		}
`, ``, "TestOnlyWhatRulesRead"),
		engine("history left out", "an instance without its history is refused", "policies/encode.go", `	if in == nil {
		return b.fail(at, "is missing")
	}
	b.add(at, keys.size)`, `	b.add(at, keys.size)`, "TestDecideRefuses"),
		engine("both evaluators", "a yes that is no draft needs topdown's as well", "policies/answer.go", `return !q.Draft && m.isYes(q, v)`, `return false && m.isYes(q, v)`, "TestAYesNeedsBoth"),
		engine("what topdown says", "topdown's yes is one", "policies/answer.go", `if err == nil && answers != 1 {`, `if err == nil && answers > 1 {`, "TestAYesNeedsBoth"),
		engine("topdown's checks", "topdown is asked for every check", "policies/query.go", `range slices.Concat(asked.Checks, asked.Grants) {`, `range slices.Concat(asked.Grants) {`, "TestAYesNeedsBoth"),
		engine("topdown's grants", "topdown is asked for every grant", "policies/query.go", `range slices.Concat(asked.Checks, asked.Grants) {`, `range slices.Concat(asked.Checks) {`, "TestAYesNeedsBoth"),
		engine("topdown's deny", "topdown is asked whether it denies", "policies/query.go", `	if asked.Deny {
		parts`, `	if false {
		parts`, "TestAYesNeedsBoth"),
		engine("topdown's target", "topdown is asked for the target", "policies/query.go", `	case asked.Target:
`, `	case asked.Target && v.Target == "-":
`, "TestAYesNeedsBoth"),
		engine("a target that is no state", "what an input names is no key of what is kept", "policies/answer.go", `(v.Target == "" || m.states[v.Target])`, `(v.Target == "" || true)`, "TestAYesNeedsBoth"),
		engine("a no with a target", "a no that may choose another target needs topdown's as well", "policies/answer.go", `!asked.Draft && asked.Target && !m.isYes(asked, &v) {`, `false {`, "TestAYesNeedsBoth"),
		engine("who waits", "what may run on past its deadline isn't waited for", "policies/answer.go", `if !p.program.Prompt() {`, `if false {`, "TestTheWallOfDrafts"),
		engine("a draft's deadline", "a draft ends in time", "policies/answer.go", `time.Now().Add(timeout), ctx`, `time.Now().Add(10*time.Second+timeout), ctx`, "TestDraftsEndInTime"),
		engine("a yes in time", "topdown's yes ends in time, also where nobody waits for it", "policies/answer.go", `&limit{ctx: ctx, deadline: quick.deadline}`, `&limit{ctx: ctx, deadline: quick.deadline.Add(10 * time.Second)}`, "TestAYesEndsInTime"),
		engine("a long yes", "what took many steps may have to be given up", "policies/answer.go", `p.light && quick.steps <= mostSteps`, `p.light`, "TestWhoWaitsForAYes"),
		engine("a heavy yes", "what may make large values may have to be given up", "policies/answer.go", `p.light && quick.steps <= mostSteps`, `quick.steps <= mostSteps`, "TestWhoWaitsForAYes"),
		engine("what doubles", "rules that put values into each other aren't light", "policies/growth.go", `return math.Log2(float64(parts))`, `return 0 * math.Log2(float64(parts))`, "TestLightRules"),
		engine("what functions double", "a function's result may be as large as all that it makes", "policies/growth.go", `return g.ofAll(g.compiler.GetRulesExact(ref))`, `return 0 * g.ofAll(g.compiler.GetRulesExact(ref))`, "TestLightRules"),
		engine("what else rests on", "an else is read with its rule", "policies/rules.go", `branch != nil; branch = branch.Else {`, `branch == r; branch = branch.Else {`, "TestReads|TestLightRules"),
	}
}
