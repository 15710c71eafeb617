package wire_test

func parameters() []bad {
	var out []bad
	for _, r := range routes {
		method, body := r.methods[0], ""
		switch method {
		case "POST":
			body = `{"instances":[]}`
		case "PATCH":
			body = `{"amount":1}`
		}
		for name, query := range map[string]string{
			"unknown": "verbose=true", "unknown without a value": "x", "no name": "=1", "bad escape": "a=%zz", "semicolon": "a=1;b=2", "array": "a[]=1", "prototype": "__proto__=1", "method": "_method=POST", "NUL": "a%00=1",
		} {
			out = append(out, malformed(r.target+": "+name, ask(method, r.target+"?"+query, body)))
		}
	}
	for name, query := range map[string]string{
		"limit 0": "limit=0", "limit 201": "limit=201", "limit negative": "limit=-1", "limit signed": "limit=%2B5", "limit 05": "limit=05", "limit 1e1": "limit=1e1", "limit 1.0": "limit=1.0", "limit hexadecimal": "limit=0x5", "limit beyond numbers": "limit=99999999999999999999", "limit empty": "limit=", "limit twice": "limit=5&limit=5",
		"limit twice, encoded": "limit=5&l%69mit=6", "limit in capitals": "LIMIT=5", "limit full-width": "limit=%EF%BC%95", "limit with a space": "limit=5%20", "limit a word": "limit=all", "state unknown": "state=nowhere", "state empty": "state=", "state in capitals": "state=Created", "state twice": "state=created&state=denied", "state with NUL": "state=created%00",
		"state invalid UTF-8": "state=%ff", "state with a newline": "state=created%0a", "actor no id": "actor=a%20b", "actor empty": "actor=", "actor with a slash": "actor=a%2Fb", "actor with SQL": "actor=x%27--", "time without zone": "updated_since=2026-01-01T00:00:00", "a date": "updated_since=2026-01-01", "a time that isn't": "updated_since=2026-13-01T00:00:00Z", "a time of seconds": "updated_since=1767225600", "a year of five digits": "updated_since=12026-01-01T00:00:00Z",
		"a leap second": "updated_since=2026-06-30T23:59:60Z", "a time in small letters": "updated_since=2026-01-01t00:00:00z", "a comma in a time": "updated_since=2026-01-01T00:00:00,5Z", "the year 0": "updated_since=0000-01-01T00:00:00Z", "a zone of 25 hours": "updated_since=2026-01-01T00:00:00%2B25:00", "a plus that is a space": "updated_since=2026-01-01T00:00:00+01:00", "cursor made up": "cursor=eyJhIjoxfQ", "cursor not base64": "cursor=!!", "cursor padded": "cursor=AAAA%3D%3D", "cursor of 8 KiB": "cursor=" + long(8<<10), "cursor twice": "cursor=AAAA&cursor=AAAA",
	} {
		out = append(out, malformed("list: "+name, ask("GET", loans+"?"+query, "")))
	}
	for _, name := range []string{"events", "denied", "attempts", "trace", "dry_run"} {
		target, method, body, first := loan, "GET", "", ""
		switch name {
		case "denied":
			target = fire
		case "attempts":
			target = loan + "/history"
		case "trace":
			target, first = loan+"/explain", "event=submit&"
		case "dry_run":
			target, method, body = fire, "POST", submit
		}
		for _, value := range []string{"=1", "=0", "=yes", "=True", "=TRUE", "=t", "=", "", "=null", "=true%20", "=true%00", "=true,false", "=true&" + name + "=true", "=true&" + name + "=false"} {
			out = append(out, malformed(name+value, ask(method, target+"?"+first+name+value, body)))
		}
	}
	for name, query := range map[string]string{
		"no event": "to=submitted", "event empty": "event=", "event twice": "event=submit&event=deny", "event with NUL": "event=a%00b", "event invalid UTF-8": "event=%ff", "event with an escape": "event=%1b[31m", "to empty": "event=submit&to=", "to twice": "event=submit&to=a&to=b", "input": "event=submit&input={}",
	} {
		out = append(out, malformed("explain: "+name, ask("GET", loan+"/explain?"+query, "")))
	}
	for name, query := range map[string]string{
		"unknown word": "scope=world", "empty": "scope=", "an unknown machine": "scope=machine:none", "no machine": "scope=machine:", "an instance without id": "scope=instance:loan/", "an instance without machine": "scope=instance:/x", "a bad id": "scope=instance:loan/a%20b", "twice": "scope=tenant&scope=tenant", "capitals": "scope=Tenant", "a tenant": "scope=tenant:other", "NUL": "scope=tenant%00", "three parts": "scope=instance:loan/x/y",
	} {
		out = append(out, malformed("scope: "+name, ask("PUT", "/v1/actors/evan/roles/manager?"+query, "")), malformed("scope to revoke: "+name, ask("DELETE", "/v1/actors/evan/roles/manager?"+query, "")))
	}
	return append(out,
		malformed("graph as SVG", ask("GET", "/v1/machines/loan/graph?format=svg", "")),
		malformed("graph as nothing", ask("GET", "/v1/machines/loan/graph?format=", "")),
		malformed("graph twice", ask("GET", "/v1/machines/loan/graph?format=dot&format=json", "")),
		malformed("history from another question's cursor", ask("GET", loan+"/history?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "")),
	)
}
