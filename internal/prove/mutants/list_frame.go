package main

// framed are the guards of questions that are asked in a row, and go on from each other.
func framed() []mutant {
	row := func(name, takes, old, changed string) mutant {
		return onPackage(mutant{name: "in a row: " + name, takes: takes, edits: one("policies/frame.go", old, changed)}, "./policies", "InARow|TestAQuestionThatFails")
	}
	again := func(name, takes, old, changed string) mutant {
		return onPackage(mutant{name: "again: " + name, takes: takes, edits: one("policies/compiled/again.go", old, changed)},
			"./policies/compiled", "TestAgainIsAsAnew|TestWhatGoesOn|TestNothingGoesOn")
	}
	gate := func(name, takes, old, changed string) mutant {
		return onGate(mutant{name: "in a row: " + name, takes: takes, edits: one("frame.go", old, changed)}, "TestMenusInARow")
	}
	return []mutant{
		row("the event", "each question has an input of its own", `	h.quick.input, err = f.input(h.machineRules.encoder, in)
`, `	if h.quick.input == nil {
		h.quick.input, err = f.input(h.machineRules.encoder, in)
	}
`),
		row("who asks", "what one asker's inputs have in common is no other's", `one.of == in.Memo && one.encoder`, `one.encoder`),
		row("what is asked", "a question is answered by its own query", `slices.Equal(h.checks, q.Checks) &&`, `true &&`),
		row("the end", "nothing is held after the last question", `	case f.ended:
		f.mu.Unlock()
		return nil
`, ``),
		row("shadow", "what goes on from another evaluation is shadowed", `rand.Int64N(f.rules.opts.shadow) == 0`, `rand.Int64N(f.rules.opts.shadow) < 0`),
		again("what has changed", "a rule that reads what has changed is evaluated again", `reads&changed != 0 ||`, `reads&changed != 0 && changed == 0 ||`),
		again("everything", "a rule that may read anything is evaluated again", `reads == everything || reads`, `reads`),
		again("by other ways", "whatever a rule does with the input counts", `slices.Contains(read(stmt), ir.Input) ||`, `slices.Contains(read(stmt), ir.Input) && false ||`),
		again("more than the input", "what functions may depend on besides their operands counts", `custom || !prompt[stmt.Func]`, `custom`),
		again("other memory", "an input that was taken back is none to go on from", `b.taken != m.inputs.resets`, `b.taken < 0`),
		gate("roles", "an actor with other roles is another", `slices.Equal(a.roles, d.roles) &&`, `slices.Equal(a.roles, a.roles) &&`),
		onGate(mutant{name: "in a row: a role or a grant", takes: "what a menu asks of who has a role isn't what it asks of others",
			edits: one("frame.go", `splits[min(len(grants), 1)]`, `splits[min(len(grants), 0)]`)}, "TestMenuAndGateAgree"),
		gate("release", "what rules hold is released", `held.Release()`, `_ = held`),
	}
}
