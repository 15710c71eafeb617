package main

const (
	bodies = "middleware/decode.go"
	guard  = "server/guard.go"
)

// ruling is the policy engine.
func ruling() []mutant {
	engine := func(name, takes, file, old, changed, run string) mutant {
		return onPackage(mutant{name: name, takes: takes, edits: one(file, old, changed)}, "./policies", run)
	}
	return []mutant{
		engine("strict built-in errors", "an error of a built-in is an error, not undefined", "policies/decide.go",
			`WithStrictBuiltinErrors(true)`, `WithStrictBuiltinErrors(false)`, "TestContract"),
		engine("exactly true", "a condition holds only if it is exactly true", "policies/verdict.go",
			`return err == nil && compiled.IsTrue(v)`, `return err == nil && (compiled.IsTrue(v) || v != nil)`, "TestContract"),
		engine("wall", "an evaluation that can't be stopped is given up", "policies/decide.go",
			`time.NewTimer(r.opts.wall)`, `time.NewTimer(300 * r.opts.wall)`, "TestTheWall"),
		engine("too many given up", "nothing is evaluated while too many evaluations run on", "policies/source.go",
			`n > maxLeaked {`, `n < 0 {`, "TestTheWall"),
		engine("built-ins", "a policy calls nothing that waits, guesses or reads the outside", "policies/capabilities.go",
			`return b.Nondeterministic || !slices.Contains(allowed, b.Name)
	})
	caps.Builtins = append`, `return false && slices.Contains(allowed, b.Name)
	})
	caps.Builtins = append`, "TestCapabilities"),
		engine("package's place", "rules can't stand where somebody else's belong", "policies/modules.go",
			`		case !ok:
			ds.at(`, `		case !ok && kind == "-":
			ds.at(`, "TestDiagnostics"),
		engine("declared types", "a value of another type than declared reaches no rule", "policies/encode.go",
			`newBuild(e, values, maxInputBytes)
`, `newBuild(&encoder{states: e.states, did: e.did, last: e.last, shapes: e.shapes}, values, maxInputBytes)
`, "TestFormOfAnotherType|TestVerifierNeverApproves"),
	}
}

// incoming is what a request may not do.
func incoming() []mutant {
	body := func(name, takes, old, changed string) mutant {
		return onPackage(mutant{name: name, takes: takes, edits: one(bodies, old, changed)}, "./middleware", "TestDecodeRefuses")
	}
	token := func(name, takes, file, old, changed string) mutant {
		return onPackage(mutant{name: name, takes: takes, edits: one(file, old, changed)}, "./server", "TestJWT")
	}
	served := func(name, takes, file, old, changed string) mutant {
		return onPackage(mutant{name: name, takes: takes, edits: one(file, old, changed)}, "./server", "TestBadRequests/sqlite")
	}
	duplicates := body("duplicate members", "a member that stands twice is refused", `dec := jsontext.NewDecoder(bytes.NewReader(body))`,
		`dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))`)
	duplicates.edits = duplicates.edits.and(bodies, `json.RejectUnknownMembers(true), exactNumbers`,
		`json.RejectUnknownMembers(true), exactNumbers, jsontext.AllowDuplicateNames(true)`)
	return []mutant{
		duplicates,
		body("unknown members", "a body can't bring what nobody asked for: state, version, actor", `json.RejectUnknownMembers(true)`, `json.RejectUnknownMembers(false)`),
		body("trailing data", "nothing stands after the object", `len(bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n")) > 0:`, `false:`),
		body("depth of a body", "a body is at most 32 deep", `case dec.StackDepth() > maxDepth:`, `case false:`),
		body("size of a body", "a body is at most 64 KiB", `limit := settingsOf(c).maxBody`, `limit := settingsOf(c).maxBody << 10`),
		body("encoded bodies", "a compressed body is refused", `if len(h["Content-Encoding"]) > 0 {`, `if false {`),
		served("ambiguous paths", "a path that could be read in two ways is refused before routing", guard,
			`	if why := badPath(r); why != "" {`, `	if why := badPath(r); why == "never" {`),
		served("repeated credentials", "two Authorization headers are refused", "server/request.go",
			`[...]string{"Authorization", "Content-Type", "Content-Encoding"`, `[...]string{"Content-Type", "Content-Encoding"`),
		token("audience", "a token meant for somebody else is refused", "server/claims.go", `	if !hasAudience(claims["aud"], v.Audience) {`, `	if false {`),
		token("issuer", "a token of another issuer is refused", "server/jwt.go", `		if v.Issuer == iss {
			return v`, `		if v.Issuer == iss || iss != "" {
			return v`),
		token("expiry", "an expired token is refused", "server/claims.go", `	case !now.Before(exp.Add(v.Leeway)):`, `	case exp.Year() < 2000:`),
		token("algorithms", "a token signed by another algorithm than the listed is refused", "server/token.go", `	if !slices.Contains(v.Algorithms, t.alg) {`, `	if t.alg == "" {`),
		token("crit", "a token that asks for what isn't understood is refused", "server/token.go", `[]string{"crit", "b64",`, `[]string{"b64",`),
		onPackage(mutant{name: "If-Match", takes: "what was meant for another version isn't done",
			edits: one(decide, `if no := d.precondition(); no != nil {`, `if no := d.precondition(); false {`)}, "./server", "TestIfMatch"),
		onPackage(mutant{name: "demanded If-Match", takes: "a machine that demands If-Match takes no event without it",
			edits: one("etag.go", `if !d.f.m.IfMatch() || d.q.namesVersion() ||`, `if d.q.op != "" || d.q.namesVersion() ||`)}, "./server", "TestMachineThatDemandsIfMatch"),
		onPackage(mutant{name: "peers", takes: "headers of a proxy are believed of listed peers alone",
			edits: one("server/headers.go", `	case !h.believes(r):`, `	case false:`)}, "./server", "TestHeadersOfAProxy"),
		onPackage(mutant{name: "unverified remembered", takes: "a verified token is believed only under the keys of that time",
			edits: one("server/jwt.go", `seen.revision != revision || `, `revision == 0 || `)}, "./server", "TestJWTKeyFileIsReadAgain"),
		onPackage(mutant{name: "second signal", takes: "a second signal ends a process that drains",
			edits: one("cmd/interlock/main.go", `		signal.Stop(first)
`, ``)}, "./cmd/interlock", "TestSecondSignal"),
		onPackage(mutant{name: "system from outside", takes: "no caller is the host's own code",
			edits: one("server/request.go", `if err == nil && actor.Kind == interlock.System {`, `if false {`)}, "./server", "TestIdentityErrors"),
		onPackage(mutant{name: "words of an error", takes: "an error's own text never leaves", edits: one("middleware/problem.go",
			`	return &Problem{Code: codeInternal, Cause: err}`, `	return &Problem{Code: codeInternal, Detail: err.Error(), Cause: err}`)}, "./middleware", "TestNeverInternals"),
	}
}
