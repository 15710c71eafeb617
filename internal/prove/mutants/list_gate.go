package main

const (
	fire     = "fire.go"
	toCommit = "commit.go"
	around   = "do.go"
	decide   = "decide.go"
	judge    = "judge.go"
	admin    = "admin.go"
)

// protocol is what the gate does around the commit.
func protocol() []mutant {
	return []mutant{
		onGate(mutant{name: "second look", takes: "a no on cached facts is decided once more on the store's",
			edits: one(fire, `			if f.cached {
				fresh = true // a no`, `			if false {
				fresh = true // a no`)}, "TestStaleRefusal"),
		onGate(mutant{name: "answer before the commit", takes: "the answer leaves after the commit",
			edits: one(fire, `err := g.commit(ctx, c)
		switch {`, `var err error
		go func() { _ = g.commit(ctx, c) }()
		switch {`)}, "TestUnknownOutcome|TestLoanStory|TestRaceHasOneWinner"),
		onGate(mutant{name: "age of a decision", takes: "an old decision is made again, not committed",
			edits: one(fire, `if time.Since(f.read) > g.cfg.DecisionAge {`, `if time.Since(f.read) > 1000*g.cfg.DecisionAge {`)}, "TestOldDecision|TestSlowRead"),
		onGate(mutant{name: "unknown told as no", takes: "an unknown outcome is settled before anything is said",
			edits: one(toCommit, `if !errors.As(err, &lost) {`, `if errors.As(err, &lost); true {`)}, "TestUnknownOutcome|TestLost"),
		onGate(mutant{name: "unknown told as yes", takes: "what can't be settled is no success",
			edits: one(toCommit, `return unavailable("outcome_unknown", "it can't be told whether this was committed; ask again with the same idempotency key, or read the history", err)`, `return nil`)}, "TestUnknownOutcome|TestLost"),
		onGate(mutant{name: "silent decision again", takes: "what was asked of one state is not done to another",
			edits: one(fire, `if f.inst != nil && f.inst.State == seen.inst.State {`, `if f.inst != nil {`)}, "TestStateThat|TestLostRaces|TestRaceHasOneWinner"),
		onGate(mutant{name: "commit with its caller", takes: "a caller who goes away leaves no commit half known",
			edits: one(toCommit, `ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.CommitTimeout)
	defer cancel()
	err := g.cfg.Store.Commit(ctx, c)`, `ctx, cancel := context.WithTimeout(ctx, g.cfg.CommitTimeout)
	defer cancel()
	err := g.cfg.Store.Commit(ctx, c)`)}, "TestCommitHasATimeOfItsOwn"),
		onGate(mutant{name: "handler's error", takes: "with Do the application's writes and the transition are both there or neither",
			edits: one(around, `	if err := t.handle(caller, tx, t.commit.Instance.Record.Transition); err != nil {
		return err
	}
`, `	_ = t.handle(caller, tx, t.commit.Instance.Record.Transition)
`)}, "TestDoIsBothOrNeither"),
		onGate(mutant{name: "handler's hand on the column", takes: "a Do handler can't write the state column itself",
			edits: one(around, `err != nil || bound && state != to {`, `err != nil || bound && state == "" {`)}, "TestDoIsBothOrNeither"),
		onGate(mutant{name: "key's fingerprint", takes: "a key that was used for another request is refused",
			edits: one("idempotency.go", `	case string(held.Fingerprint) != string(q.fingerprint()):`, `	case false:`)}, "TestIdempotencyKey|TestKey"),
		onGate(mutant{name: "reading before a replay", takes: "a stored answer is told only to who may still read it",
			edits: one("idempotency.go", `	now, err := g.Get(ctx, q.actor, ref)
	if err != nil {`, `	now, err := g.Get(ctx, SystemActor(q.actor.Tenant, "replay"), ref)
	if err != nil {`)}, "TestReplayAsks|TestStoredAnswer"),
		onGate(mutant{name: "key given back under an unknown outcome", takes: "what may still be committed keeps its key",
			edits: one("idempotency.go", `	open = err != nil && !errors.Is(err, &Refusal{Stage: StageUnavailable, Code: "outcome_unknown"})`, `	open = err != nil && !errors.Is(err, &Refusal{Stage: StageUnavailable, Code: "never"})`)}, "TestUnknownOutcomeKeepsTheKey"),
	}
}

// deciding is who may.
func deciding() []mutant {
	return []mutant{
		onGate(mutant{name: "read policy", takes: "what may not be read isn't there",
			edits: one(decide, `	if d.q.actor.Kind == System {
		return nil // the host's own code
	}`, `	if d.q.actor.Kind != "" {
		return nil // the host's own code
	}`)}, "TestUnreadable"),
		onGate(mutant{name: "yes for lack of reasons", takes: "a yes rests on who may",
			edits: one(judge, `j.allowed = who && len(j.reasons) == 0`, `j.allowed = len(j.reasons) == 0`).and(judge,
				`	if !who {
		why :=`, `	if !who && len(j.c.requires) > 0 {
		why :=`)}, "TestWithoutRequires|TestFourCheats"),
		onGate(mutant{name: "policy that fails", takes: "an error of the policy is a refusal",
			edits: one(judge, `		if err != nil {
			j.refusal = unavailable("policy_failed", "the policy could not decide", err)
			return false, false
		}`, `		if err != nil {
			return true, true
		}`)}, "TestPolicyFailure|TestPolicyThatDoesNotEnd"),
		onGate(mutant{name: "failed check", takes: "every check has to hold",
			edits: one(judge, `		if !slices.Contains(v.Passed, name) {
			j.reasons = withReason`, `		if false {
			j.reasons = withReason`)}, "TestFourCheats|TestAllReasons"),
		onGate(mutant{name: "deny", takes: "what the policy denies is refused",
			edits: one(judge, `	for _, why := range v.Deny {
		j.reasons = withReason(j.reasons, why)
	}`, ``)}, "TestDenyRefuses|TestDenyIsAsked"),
		onGate(mutant{name: "each person", takes: "on behalf of somebody, every check holds for both persons",
			edits: one("question.go", `		return []string{q.actor.Person, q.behalf.Person}`, `		return []string{q.actor.Person}`)}, "TestOnBehalf|TestGrantHolds|TestHistoryNamesBoth|TestTargetOfTwo"),
		onGate(mutant{name: "switched off", takes: "an account that is switched off does nothing",
			edits: one(decide, `		if !rec.Active {`, `		if false {`)}, "TestNobodyAndTheSwitchedOff"),
		onGate(mutant{name: "person of an account", takes: "an account's person is fixed by its first commit",
			edits: one(decide, `		if rec.Person != "" && rec.Person != a.Person {`, `		if false {`)}, "TestFourCheats|TestAdministrator|TestNobody|TestKeyOfAnotherPerson"),
		onGate(mutant{name: "own roles", takes: "nobody changes his own roles",
			edits: one(admin, `if q.actor.Kind != System && (id == q.actor.ID || id == q.actor.Person || prev.Person == q.actor.Person) {`, `if false {`)}, "TestAdministrator"),
		onGate(mutant{name: "administrator's own row", takes: "an administrator who was removed meanwhile changes nothing",
			edits: one(admin, `	if q.actor.Kind != System {
		c.Actors =`, `	if false {
		c.Actors =`)}, "TestAdministratorRemoved"),
		onGate(mutant{name: "reserved roles", takes: "a token can't bring the gate's own roles",
			edits: one(decide, `if !strings.HasPrefix(r, "interlock:") && r != fsm.Anyone && r != fsm.System && !strings.HasPrefix(r, "$") {`, `if r != "" {`)}, "TestReservedRoles"),
		onGate(mutant{name: "drift", takes: "a column that was changed by hand is refused",
			edits: one(decide, `	if f.bound.State != f.inst.State {`, `	if false {`)}, "TestDrift"),
		onGate(mutant{name: "form", takes: "a form that doesn't fit its schema is refused before the policy",
			edits: one(decide, `	if wrong := formErrors(event, q.form); len(wrong) > 0 {`, `	if wrong := formErrors(event, q.form); false {`)}, "TestInput"),
		onGate(mutant{name: "chain", takes: "an edit of history's bytes is found",
			edits: one("verify.go", `if sum := sha256.Sum256(r.Bytes); !bytes.Equal(sum[:], r.Hash) {`, `if sum := sha256.Sum256(r.Bytes); sum == [32]byte{} {`)}, "TestVerifyFinds"),
		onGate(mutant{name: "deleted texts", takes: "texts that are gone without an erasure are found",
			edits: one("verify_erased.go", `		v.bad(&gone, "its texts are gone, and no erasure in its chain speaks of them")
`, `		_ = gone
`)}, "TestVerifyTellsErasureFromDeletion"),
		onGate(mutant{name: "revoked API key", takes: "a revoked API key lets nobody in",
			edits: one("apikeys.go", `if k == nil || !same || !k.RevokedAt.IsZero() || !k.Expires`, `if k == nil || !same || !k.Expires`)}, "TestAPIKeys"),
		onGate(mutant{name: "expired API key", takes: "an expired API key lets nobody in",
			edits: one("apikeys.go", `!k.RevokedAt.IsZero() || !k.Expires.IsZero() && !g.now().Before(k.Expires) {`, `!k.RevokedAt.IsZero() {`)}, "TestAPIKeys"),
		onGate(mutant{name: "secret of an API key", takes: "who knows a key's id alone isn't let in",
			edits: one("apikeys.go", `if k == nil || !same || `, `if k == nil || len(want) == 0 && same || `)}, "TestAPIKeys"),
	}
}

// caching is the cache, which is never believed.
func caching() []mutant {
	redis := func(name, takes, file, old, changed, run string) mutant {
		return onPackage(mutant{name: name, takes: takes, edits: one(file, old, changed)}, "./store/rediscache", run)
	}
	return []mutant{
		redis("delete instead of floor", "after a change the cache refuses late fills of the old", "store/rediscache/script.go",
			`store(version, expires, low, now + ms, body, math.max(ms, expires - now))`, `redis.call('DEL', KEYS[1])`, "TestGetPutFloor"),
		redis("older put", "an older entry never replaces a newer one", "store/rediscache/script.go",
			`or below(ARGV[1], version) or`, `or`, "TestVersionsOnlyRise|TestGetPutFloor"),
		redis("entry's key", "the reply to another request is a miss", "store/rediscache/entry.go",
			`	if rest[:length] != name {`, `	if false {`, "TestWrongKey"),
		redis("entry's code", "an entry that somebody else wrote is a miss, where there is a key", "store/rediscache/entry.go",
			`if !hmac.Equal([]byte(rest[len(rest)-macLen:]), c.mac(head[:versionWidth+timeWidth], []byte(signed))) {`, `if len(signed) == 0 {`, "TestForged"),
		redis("lengths in keys", "no two tuples of names share a key", "store/rediscache/entry.go",
			`		b = strconv.AppendInt(b, int64(len(part)), 10)
`, `		b = strconv.AppendInt(b, int64(len(part)), 10)[:len(b)]
`, "FuzzName"),
		redis("late put", "an entry that Redis gets after its time is refused there", "store/rediscache/script.go",
			`if tonumber(ARGV[2]) <= now or`, `if`, "TestDelayedWrites"),
		redis("together: one's own values", "nobody gets the values that another asked for in the same round trip", "store/rediscache/group.go",
			`return t.values[at : at+len(names)], nil`, `return t.values[0*at : len(names)], nil`, "TestWhoComesMeanwhile|TestManyCallers"),
		redis("together: who leaves", "a caller who leaves isn't held up by what is on its way", "store/rediscache/group.go",
			`	case <-ctx.Done():
		g.withdraw(t)
		return nil, ctx.Err()
`, ``, "TestWhoLeaves"),
		onGate(mutant{name: "older in the queue", takes: "what waits to be put isn't replaced by what is older",
			edits: one("puts.go", `case entries[i].Version < e.Version || entries[i].Version == e.Version && entries[i].Read.Before(e.Read):`, `default:`)}, "TestNewest"),
		onGate(mutant{name: "read later in the queue", takes: "of one version in the queue what was read last is put",
			edits: one("puts.go", `entries[i].Version < e.Version || entries[i].Version == e.Version && entries[i].Read.Before(e.Read):`, `entries[i].Version < e.Version:`)}, "TestNewest"),
		onGate(mutant{name: "cached instance's key", takes: "a cached instance of another key is a miss",
			edits: one("facts.go", `				(CacheKey{"instance", ci.Instance.Tenant, ci.Instance.Machine, ci.Instance.ID}) != keys[0] {`, `				false {`)}, "TestSwappedReply|TestPoisonedCache"),
		onGate(mutant{name: "cached actor's key", takes: "a cached actor of another key is a miss",
			edits: one("facts.go", `|| actorKey(a.Tenant, a.ID) != keys[i] {`, `{`)}, "TestSwappedReply|TestPoisonedCache"),
		onGate(mutant{name: "drafts", takes: "only menus and what dry runs say of events may be answered by the quicker evaluator alone",
			edits: one("judge.go", `return d.q.op == opFire && d.q.dryRun && d.q.rehearsal == nil && c.event`, `return d.q.op == opFire && c.event`)}, "TestOnlyMenusAndDryRunsAreDrafts"),
		onGate(mutant{name: "drafts to go by", takes: "what was asked for strongly is no draft",
			edits: one("judge.go", `	case IsStrong(ctx):
		return false
	case d.q.op == opMenu:`, `	case d.q.op == opMenu:`)}, "TestOnlyMenusAndDryRunsAreDrafts"),
		onGate(mutant{name: "a menu to go by", takes: "where somebody goes by a menu, a no to what is open leaves nothing unconfirmed",
			edits: one("judge.go", `!open.empty() && d.draft(ctx, c) {`, `!open.empty() {`)}, "TestAMenuAsksOnce"),
		onGate(mutant{name: "errors of what is open", takes: "an error in what the caller may still give decides nothing else",
			edits: one("judge.go", `final.and(open, c)); err == nil {`, `final.and(open, c)); err == nil || true {`)}, "TestAMenuAsksOnce"),
		onGate(mutant{name: "drafts of reads", takes: "whether a dry run may show an instance is no draft",
			edits: one("judge.go", `c.event != "" && c.event[0] != '$'`, `c.event != ""`)}, "TestOnlyMenusAndDryRunsAreDrafts"),
		onGate(mutant{name: "retired for now", takes: "a commit whose outcome is unknown isn't told as not made because its revision is retired",
			edits: one("commit.go", `|| g.staysStale(ctx, c)`, `|| true`)}, "TestUnknownOutcome"),
		onGate(mutant{name: "Do's old decision", takes: "a decision that waited too long for its transaction is made again in it",
			edits: one(around, `time.Since(d.f.read) <= g.cfg.DecisionAge`, `time.Since(d.f.read) >= 0`)}, "TestDoOfAnOldDecision"),
		onGate(mutant{name: "Do's lost decision", takes: "a decision of Do that lost its race is made again under the lock",
			edits: one(around, `		said = nil // once`, `		_ = 0 // once`)}, "TestDoIsDecidedOn"),
		onGate(mutant{name: "Do on another state", takes: "a Do that was decided on the store's facts isn't decided again on another state",
			edits: one(around, `			seen = said.f
`, ``)}, "TestDoIsDecidedOn"),
		onGate(mutant{name: "Do adopts", takes: "a Do on a row that was never adopted adopts it first",
			edits: one(around, `(!d.f.isBound || d.f.adopted())`, `(true || d.f.adopted())`)}, "TestColumnsChangedBeforeDo"),
		onGate(mutant{name: "a machine's own roles", takes: "what a refusal tells of a machine isn't the machine's own",
			edits: one("judge.go", `"any_of": slices.Clone(j.c.requires)`, `"any_of": append(j.c.requires[:0], j.c.requires...)`)}, "TestWhatIsToldOfAMachine"),
		onGate(mutant{name: "shared look", takes: "a look at the store that was shared counts as cached: a no on it is decided once more",
			edits: one("facts.go", `f.read, f.cached = read, shared`, `f.read, f.cached = read, shared && false`)}, "TestSharedRefusal"),
		onGate(mutant{name: "looks are of one question", takes: "nobody gets the look that was made for another actor",
			edits: one("flight.go", `append([]string{tenant, ref.Machine, ref.ID}, actors...)`, `[]string{tenant, ref.Machine, ref.ID}`)}, "TestALookIsShared"),
		onGate(mutant{name: "only reads share", takes: "what may commit looks for itself, at the state that its actor saw",
			edits: one("facts.go", ` && (q.op == opRead || q.op == opMenu) {`, ` {`)}, "TestOnlyReadsShare"),
		onGate(mutant{name: "looks of before a change", takes: "who asks after a change was answered shares no look of before",
			edits: one("flight.go", `	clear(fs.under)`, ``)}, "TestNoLookOfBefore"),
		onGate(mutant{name: "old looks", takes: "a look takes callers for a moment only",
			edits: one("flight.go", ` && time.Since(f.began) < fs.joinable {`, ` {`)}, "TestOldLooks"),
		onGate(mutant{name: "one's own facts", takes: "sharers of a look don't share what they may change",
			edits: one("own.go", `return *i.own()`, `return *i`)}, "TestSharersOwn"),
		onGate(mutant{name: "revoked role in the cache", takes: "a revocation drops what the cache holds before it answers",
			edits: one(admin, `!g.floor(ctx, epoch, actorKey(c.Actor.Next.Tenant, c.Actor.Next.ID), c.Actor.Next.Version)
`, `false
`)}, "TestRevokeFloors"),
	}
}
