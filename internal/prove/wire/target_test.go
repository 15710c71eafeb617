package wire_test

import "strings"

func targets() []bad {
	var out []bad
	// Each stands for one segment of a path that would otherwise be right.
	for name, segment := range map[string]string{
		"encoded slash": "a%2Fb", "encoded slash, small": "a%2fb", "encoded slash first": "%2Fx", "encoded slash twice": "a%252Fb%2Fc", "encoded backslash": "a%5Cb", "backslash": `a\b`,
		"dot": ".", "dot dot": "..", "encoded dot": "%2e", "encoded dot dot": "%2e%2E", "half encoded": ".%2e", "dots by backslash": `..\x`,
		"empty": "", "parameter": "x;v=1", "parameter of nothing": "x;", "encoded semicolon": "x%3Bv=1", "NUL": "a%00b", "NUL first": "%00", "newline": "a%0ab",
		"carriage return": "a%0db", "tab": "a%09b", "escape": "%1b[31m", "DEL": "a%7f", "next line": "a%c2%85b", "invalid UTF-8": "a%ff", "raw invalid UTF-8": "a\xffb",
		"overlong slash": "a%c0%afb", "overlong dot": "%c0%ae%c0%ae", "overlong NUL": "a%c0%80", "surrogate": "a%ed%a0%80", "beyond Unicode": "a%f4%90%80%80", "cut in a character": "a%e2%80",
		"no-break space": "a%c2%a0b", "zero width space": "a%e2%80%8bb", "right to left override": "a%e2%80%aeb", "line separator": "a%e2%80%a8b", "byte order mark": "%ef%bb%bfx",
		"private use": "a%ee%80%80", "raw byte order mark": "\ufeffx",
	} {
		out = append(out,
			malformed("of an instance: "+name, ask("GET", loans+"/"+segment, "")),
			malformed("of an event: "+name, ask("POST", loans+"/"+segment+"/events", submit)))
	}
	for name, target := range map[string]string{
		"two slashes first": "/" + loan, "two slashes inside": "/v1//machines/loan", "slash at the end": loan + "/", "slashes at the end": loan + "//", "slash after the event": fire + "/",
		"up and down": "/v1/machines/../machines/loan", "up to nowhere": "/../../etc/passwd", "up, encoded": "/%2e%2e/%2e%2e/etc/passwd", "star": "*",
		"absolute, two slashes": "http://127.0.0.1//v1/machines", "absolute without a path": "http://127.0.0.1", "absolute by another scheme": "ftp://127.0.0.1" + loan,
		"absolute by javascript": "javascript:alert(1)", "absolute file": "file:///etc/passwd", "absolute with credentials": "http://erin:x@127.0.0.1" + loan,
		"absolute up": "http://127.0.0.1/v1/../v1/machines", "absolute, encoded slash": "http://127.0.0.1" + loans + "/a%2Fb",
	} {
		out = append(out, malformed(name, ask("GET", target, "")))
	}
	for name, target := range map[string]string{
		"root": "/", "nowhere": "/nowhere", "another version": "/v2/machines", "capitals": "/V1/machines", "capitals inside": "/v1/Machines", "encoded letter": "/v1/m%61chines", "all encoded": "/%76%31/machines",
		"homoglyph": "/v1/m\u0430chines", "long s": "/v1/machine\u017f", "Kelvin sign": "/v1/\u212aachines", "full-width": "/v1/ｍachines", "umlaut": "/v1/mächines", "hash": "/v1/machines%23", "raw hash": "/v1/machines#x",
		"question mark": "/v1/machines%3fx=1", "plus": "/v1/machines+", "metrics": "/metrics", "debugging": "/debug/pprof/", "debugging, all": "/debug/vars", "environment": "/.env", "git": "/.git/config",
		"state": loan + "/state", "facts of a kind": loan + "/fact", "deeper": fire + "/submit", "half a path": "/v1/machines/loan/instance", "4 KiB": "/v1/machines/" + long(4<<10), "one of many": "/v1" + strings.Repeat("/a", 500),
		"an unknown machine": "/v1/machines/none", "an unknown machine's instance": "/v1/machines/none/instances/x", "an unknown instance": loans + "/nobody", "a machine in capitals": "/v1/machines/Loan", "a machine by its title": "/v1/machines/Loan%20application",
		"a problem that there isn't": "/problems/none", "a problem up": "/problems/malformed.html", "colon verb": loan + ":approve", "wildcard": loans + "/*", "template": loans + "/%7Bid%7D",
	} {
		code := "not_found"
		status := 404
		switch name {
		case "colon verb", "wildcard", "template":
			code, status = "id_invalid", 400
		case "debugging":
			code, status = "malformed", 400 // an empty segment
		}
		out = append(out, problem(name, status, code, ask("GET", target, "")))
	}
	return append(out,
		malformed("star with OPTIONS", ask("OPTIONS", "*", "")),
		malformed("authority", ask("CONNECT", "127.0.0.1:80", "")),
		malformed("authority of elsewhere", ask("CONNECT", "169.254.169.254:80", "")),
		problem("absolute of elsewhere", 401, "unauthenticated", ask("GET", "http://elsewhere.example"+loan, "")),
		problem("absolute of elsewhere over TLS", 401, "unauthenticated", ask("POST", "https://elsewhere.example"+fire, submit)),
	)
}

// ids are those of instances and actors, where they may stand.
func ids() []bad {
	var out []bad
	for name, id := range map[string]string{
		"space": "a%20b", "plus": "+", "colon": "a:b", "leading dot": ".hidden", "leading dash": "-a", "leading tilde": "~a", "leading underscore": "_a", "percent": "a%25b", "double escape": "a%252fb",
		"homoglyph": "%d1%85", "raw homoglyph": "\u0445", "umlaut": "%c3%a4", "combining mark": "a%cc%88", "full-width": "%ef%bd%98", "emoji": "%f0%9f%94%92", "129 bytes": long(129), "4 KiB": long(4 << 10), "star": "*",
		"quote": "%27", "double quote": "%22", "SQL": "x%27%20OR%201=1--", "at": "a@b", "comma": "a,b", "dollar": "$create", "ampersand": "a&b", "equals": "a=b", "brackets": "a%5B0%5D", "less than": "%3Cscript%3E", "pipe": "a%7Cb", "caret": "a%5Eb", "exclamation": "a!",
	} {
		out = append(out,
			problem("of an event: "+name, 400, "id_invalid", ask("POST", loans+"/"+id+"/events", submit)),
			problem("of an instance: "+name, 400, "id_invalid", ask("GET", loans+"/"+id, "")),
			problem("of an actor: "+name, 400, "id_invalid", ask("GET", "/v1/actors/"+id, "")))
	}
	for name, id := range map[string]string{
		"empty": ``, "space": `a b`, "slash": `a/b`, "backslash": `a\\b`, "NUL": `a\u0000b`, "newline": `a\nb`, "dot first": `.a`, "129 bytes": long(129), "homoglyph": `х`, "quote": `a'b`, "percent": `a%2fb`, "up": `../x`, "trailing space": `a `, "non-character": `a\uffff`,
	} {
		out = append(out,
			problem("to create: "+name, 400, "id_invalid", ask("POST", loans, `{"id":"`+id+`","facts":{"amount":1}}`)),
			problem("among the available: "+name, 400, "id_invalid", ask("POST", "/v1/available", `{"instances":[{"machine":"loan","id":"x"},{"machine":"loan","id":"`+id+`"}]}`)))
	}
	return append(out,
		problem("that is taken", 409, "exists", ask("POST", loans, `{"id":"x","facts":{"amount":1}}`)),
		problem("of nobody known", 404, "not_found", ask("POST", loans+"/nobody/events", submit)),
	)
}
