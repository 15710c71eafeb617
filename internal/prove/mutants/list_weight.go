package main

// weighing are the guards that keep what can't be stopped short: how much a value
// holds, what going through it counts, and who waits for topdown.
func weighing() []mutant {
	rules := func(name, takes, file, old, changed, run string) mutant {
		return onPackage(mutant{name: "weight: " + name, takes: takes, edits: one("policies/compiled/"+file, old, changed)}, "./policies/compiled", run)
	}
	yes := func(name, takes, file, old, changed, run string) mutant {
		return onPackage(mutant{name: "a yes: " + name, takes: takes, edits: one(file, old, changed)}, "./policies", run)
	}
	const given, made, written, counted, spared = "TestWhatIsGivenWeighs", "TestWhatFunctionsMakeWeighs", "TestWhatIsTooLarge", "TestWorkIsCounted", "TestSpared"
	return []mutant{
		rules("arrays", "a given array weighs what it holds", "arena.go", `r.items, r.weight = items, weightOfAll(items)`, `r.items = items`, "TestWhatFunctionsMakeWeighs"),
		rules("given arrays", "as one that an evaluation makes", "arena.go", `items: items, weight: weightOfAll(items)`, `items: items`, given),
		rules("given objects", "a given object weighs what it holds", "collections.go", `o.weight = weightOfAll(o.list).plus(weightOfAll(o.values))`, `o.weight = 0`, given),
		rules("given shapes", "an object of a shape weighs what it holds", "builder.go", `weight(len(values)).plus(weightOfAll(values))`, `0`, given),
		rules("given sets", "a given set weighs what it holds", "builder.go", `	s.weight = weightOfAll(s.list)
`, ``, given),
		rules("OPA's sets", "a set of data weighs what it holds", "convert.go", `		s.weight = weightOfAll(s.list)
`, ``, given),
		rules("unions", "a union weighs what it holds", "builtins_collections.go", `	u.weight = weightOfAll(u.list)
`, ``, made),
		rules("keys", "a set of keys weighs what it holds", "builtins_collections.go", `	s.weight = weightOfAll(s.list)
`, `	s.weight = 1
`, made),
		rules("with", "an input that holds a large value often isn't asked about", "statements.go", `weightOf(f[local]) > heaviest`, `false`, made),
		rules("what is hashed", "a set holds no more than can be hashed and sorted in one step", "weight.go", `*w <= heaviestKeys || v.Kind() < Array`, `*w <= heaviest || true`, given),
		rules("what is written out", "a function of OPA's is given nothing that takes long to write out", "weight.go", `return w <= heaviestTerm`, `return true`, written),
		rules("comparisons", "what is compared is counted", "weight.go", `m.work(int(min(weightOf(a), weightOf(b))))`, `m.work(1)`, counted),
		rules("look-ups", "a key that is looked for is counted", "weight.go", `m.work(int(weightOf(key)))`, `m.work(1)`, counted),
		rules("extremes", "max and min count what they go through", "builtins_numbers.go", `m.work(int(weightOf(v[0])))`, `m.work(1)`, counted),
		rules("members", "in counts what it goes through", "builtins_collections.go", `if v.Kind() >= Array {`, `if false {`, counted),
		rules("sets", "what of sets is compared is counted", "builtins_collections.go", `m.work(int(weightOf(s)))`, `m.work(1)`, counted),
		rules("after a comparison", "a comparison that took long is followed by a look at the clock", "statements.go", `		if equal(v, w) != want {
			return leave
		}
		return m.pause()`, `		if equal(v, w) != want {
			return leave
		}
		return next`, counted),
		rules("spared by a table", "turns that a table spares are known", "join.go", `m.spare(int64(size - len(hits)))`, `m.spare(0)`, spared),
		rules("spared by a memory", "turns that a remembered comprehension spares are known", "comprehension.go", `m.spare(e.turns)`, `m.spare(0)`, spared),
		yes("that was spared much", "topdown isn't spared what a table spares", "policies/answer.go", `q.machine.Steps() + q.machine.Spared()`, `q.machine.Steps()`, "TestWhoWaitsForAYes"),
		yes("to a large input", "a single step of topdown's goes through little", "policies/answer.go", `&& bytes <= mostBytes`, `&& bytes > 0`, "TestWhoWaitsForAYes"),
		yes("that is late", "a yes after its deadline is none", "policies/decide.go", `err = late(l.deadline)`, `err = nil`, "TestALateYes"),
	}
}
