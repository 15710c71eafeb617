package wire_test

import (
	"maps"
	"slices"
	"strings"
)

// writes are the routes that take a body, each with one that it would take.
var writes = []struct{ name, method, target, good string }{
	{"fire", "POST", fire, submit},
	{"fill", "POST", fill, `{"event":"fill","input":{"text":"x"}}`},
	{"create", "POST", loans, `{"id":"new","facts":{"amount":1}}`},
	{"facts", "PATCH", "/v1/machines/form/instances/f/facts", `{"count":5}`},
	{"available", "POST", "/v1/available", `{"instances":[]}`},
	{"actor", "PATCH", "/v1/actors/evan", `{"active":true}`},
}

// bodies are what is no JSON object, or more than one.
func bodies() []bad {
	var out []bad
	for _, w := range writes {
		inner := strings.TrimSuffix(w.good, "}")
		for name, body := range map[string]string{
			"blank": "  \r\n", "null": "null", "true": "true", "a number": "1", "a string": `"submit"`, "a list": "[" + w.good + "]", "an empty list": "[]", "cut off": inner, "closed twice": w.good + "}", "single quotes": strings.ReplaceAll(w.good, `"`, `'`),
			"a comment": "/* */" + w.good, "a comment of a line": w.good + "// x", "a comma at the end": inner + ",}", "no quotes": "{event:submit}", "a word after": w.good + " garbage", "an object after": w.good + w.good, "an object in the next line": w.good + "\n" + w.good,
			"NUL after": w.good + "\x00", "a byte order mark": "\ufeff" + w.good, "UTF-16": "{\x00\"\x00e\x00\"\x00:\x001\x00}\x00", "invalid UTF-8 in a name": inner + ",\"a\xff\":1}", "invalid UTF-8 in a value": inner + ",\"a\":\"\xc3\x28\"}", "a surrogate alone": inner + `,"a":"\ud800"}`,
			"surrogates the wrong way round": inner + `,"a":"\udc00\ud800"}`, "a surrogate in a name": inner + `,"\udfff":1}`, "a bad escape": inner + `,"a":"\x41"}`, "an escape cut off": inner + `,"a":"\u12"}`, "a control character": inner + ",\"a\":\"\x01\"}", "a newline in a string": inner + ",\"a\":\"b\nc\"}",
			"NaN": inner + `,"a":NaN}`, "Infinity": inner + `,"a":-Infinity}`, "a leading zero": inner + `,"a":01}`, "a plus": inner + `,"a":+1}`, "hexadecimal": inner + `,"a":0x1}`, "a dot at the end": inner + `,"a":1.}`, "a dot first": inner + `,"a":.5}`, "half an exponent": inner + `,"a":1e}`, "undefined": inner + `,"a":undefined}`,
			"True": inner + `,"a":True}`, "the same twice": inner + "," + strings.TrimPrefix(w.good, "{"), "YAML": "event: submit", "XML": "<event>submit</event>", "a form": "event=submit", "33 deep": inner + `,"a":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + "}", "10,000 deep": inner + `,"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + "}",
			"deep and cut off": strings.Repeat(`{"a":`, 9000), "33 objects deep": strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), "a form feed": "\f" + w.good, "a no-break space": "\u00a0" + w.good, "a prefix against hijacking": ")]}'\n" + w.good,
		} {
			out = append(out, malformed(w.name+": "+name, ask(w.method, w.target, body)))
		}
		out = append(out,
			malformed(w.name+": empty", ask(w.method, w.target, "", "Content-Type: application/json", "Content-Length: 0")),
			problem(w.name+": none at all", 415, "unsupported_media_type", ask(w.method, w.target, "")),
			problem(w.name+": 64 KiB and one", 413, "too_large", ask(w.method, w.target, inner+strings.Repeat(" ", 64<<10-len(w.good)+1)+"}")),
			problem(w.name+": 1 MiB", 413, "too_large", ask(w.method, w.target, inner+`,"a":"`+long(1<<20)+`"}`)),
		)
	}
	return out
}

// Of every type of JSON one value.
var values = map[string]string{
	"null": "null", "boolean": "true", "number": "7", "fraction": "7.5", "string": `"text"`, "list": `[]`, "list of one": `["submit"]`, "object": `{}`,
}

// members are names and values of documented members, at every level.
func members() []bad {
	var out []bad
	// What nobody asked for, and what only looks like what was asked for.
	for _, w := range writes {
		inner := strings.TrimSuffix(w.good, "}")
		for name, member := range map[string]string{
			"state": `"state":"approved"`, "version": `"version":7`, "actor": `"actor":"adam"`, "tenant": `"tenant":"other"`, "roles": `"roles":["manager"]`, "on behalf": `"on_behalf_of":"adam"`, "admin": `"is_admin":true`, "prototype": `"__proto__":{"admin":true}`,
			"constructor": `"constructor":{"prototype":{}}`, "empty name": `"":1`, "created by": `"created_by":"adam"`, "head": `"head":"00"`,
		} {
			if w.name == "facts" { // its members are the facts themselves
				out = append(out, problem(w.name+": brings "+name, 422, "facts_invalid", ask(w.method, w.target, inner+","+member+"}")))
				continue
			}
			out = append(out, malformed(w.name+": brings "+name, ask(w.method, w.target, inner+","+member+"}")))
		}
	}
	for name, body := range map[string]string{
		"event in capitals": `{"EVENT":"submit"}`, "Event": `{"Event":"submit"}`, "event by escape, twice": `{"event":"submit","\u0065vent":"deny"}`, "event beside EVENT": `{"event":"submit","EVENT":"deny"}`, "long s": `{"event":"submit","ver\u017fion":1}`, "Kelvin sign": `{"event":"submit","\u212a":1}`,
		"input in capitals": `{"event":"submit","INPUT":{}}`, "note with a long s": `{"event":"submit","no\u017fe":"x"}`, "event and a space": `{"event ":"submit"}`, "event and NUL": `{"event\u0000":"submit"}`, "homoglyph": `{"еvent":"submit"}`, "event, in the input, twice": `{"event":"fill","input":{"text":"a","text":"b"}}`,
		"twice, two deep": `{"event":"fill","input":{"text":"a","part":{"a":"1","a":"2"}}}`, "twice in a list": `{"event":"fill","input":{"text":"a","list":[{"a":1,"a":2}]}}`, "note twice": `{"event":"submit","note":"a","note":"b"}`, "nothing": `{}`, "event empty": `{"event":""}`,
	} {
		target := fire
		if strings.Contains(body, "fill") {
			target = fill
		}
		out = append(out, malformed("fire: "+name, ask("POST", target, body)))
	}
	wrong := func(name, method, target, before, member, after, want string, status int, code string) {
		for _, kind := range slices.Sorted(maps.Keys(values)) {
			if !slices.Contains(strings.Fields(want), strings.ReplaceAll(kind, " ", "_")) {
				out = append(out, problem(name+" is a "+kind, status, code, ask(method, target, before+`"`+member+`":`+values[kind]+after)))
			}
		}
	}
	wrong("fire: event", "POST", fire, `{`, "event", `}`, "string", 400, "malformed")
	wrong("fire: to", "POST", fire, `{"event":"submit",`, "to", `}`, "string null", 400, "malformed")
	wrong("fire: note", "POST", fire, `{"event":"submit",`, "note", `}`, "string null", 400, "malformed")
	wrong("fire: input", "POST", fire, `{"event":"submit",`, "input", `}`, "object null", 400, "malformed")
	wrong("create: id", "POST", loans, `{"facts":{"amount":1},`, "id", `}`, "string null", 400, "malformed")
	wrong("create: facts", "POST", loans, `{"id":"new",`, "facts", `}`, "object null", 400, "malformed")
	wrong("create: note", "POST", loans, `{"id":"new","facts":{"amount":1},`, "note", `}`, "string null", 400, "malformed")
	wrong("create: amount", "POST", loans, `{"id":"new","facts":{`, "amount", `}}`, "number fraction", 422, "facts_invalid")
	wrong("facts: amount", "PATCH", loan+"/facts", `{`, "amount", `}`, "number fraction", 422, "facts_invalid")
	wrong("available: instances", "POST", "/v1/available", `{`, "instances", `}`, "list list_of_one", 400, "malformed")
	wrong("available: machine", "POST", "/v1/available", `{"instances":[{"id":"x",`, "machine", `}]}`, "string null", 400, "malformed")
	wrong("available: id", "POST", "/v1/available", `{"instances":[{"machine":"loan",`, "id", `}]}`, "string null", 400, "malformed")
	wrong("actor: attrs", "PATCH", "/v1/actors/evan", `{`, "attrs", `}`, "object", 400, "malformed")
	wrong("actor: active", "PATCH", "/v1/actors/evan", `{`, "active", `}`, "boolean", 400, "malformed")
	wrong("form: text", "POST", fill, `{"event":"fill","input":{`, "text", `}}`, "string", 422, "input_invalid")
	for member, want := range map[string]string{"whole": "number", "ratio": "number fraction", "flag": "boolean", "list": "list list_of_one", "part": "object"} {
		wrong("form: "+member, "POST", fill, `{"event":"fill","input":{"text":"x",`, member, `}}`, want, 422, "input_invalid")
	}
	for name, field := range map[string]string{
		"beyond precision": `"whole":9007199254740993`, "beyond 64 bits": `"whole":18446744073709551617`, "a fraction close to a whole": `"whole":1.0000000000000000000000001`, "negative": `"whole":-1`, "a huge exponent": `"whole":1e400`, "an exponent of a million": `"whole":1e1000000`, "a tiny exponent": `"whole":1e-400`,
		"a thousand digits": `"whole":` + strings.Repeat("9", 1000), "list too long": `"list":["a","b","c","d"]`, "list of numbers": `"list":[1]`, "part unknown": `"part":{"b":"1"}`, "unknown": `"more":1`, "text too long": `"part":{"a":1}`, "lists in a list": `"list":[["a"]]`,
	} {
		out = append(out, problem("form: "+name, 422, "input_invalid", ask("POST", fill, `{"event":"fill","input":{"text":"x",`+field+`}}`)))
	}
	for name, number := range map[string]string{"an exponent beyond all": "1e99999999999999999999", "a negative exponent beyond all": "1e-99999999999999999999", "an exponent of a billion": "1e1000000000", "sixty thousand digits": strings.Repeat("9", 60000)} {
		out = append(out, problem("form: "+name, 422, "input_invalid", ask("POST", fill, `{"event":"fill","input":{"text":"x","ratio":`+number+`}}`)))
	}
	for name, c := range map[string]struct {
		code, body string
		status     int
	}{
		"an unknown event":        {"unknown_event", `{"event":"steal"}`, 409},
		"an event in capitals":    {"unknown_event", `{"event":"SUBMIT"}`, 409},
		"an event with a space":   {"unknown_event", `{"event":"submit "}`, 409},
		"an event of the gate":    {"unknown_event", `{"event":"$create"}`, 409},
		"an event of 60 KiB":      {"unknown_event", `{"event":"` + long(60000) + `"}`, 409},
		"an event with NUL":       {"unknown_event", `{"event":"submit\u0000"}`, 409},
		"an event not from here":  {"illegal_event", `{"event":"approve"}`, 409},
		"an undeclared target":    {"undeclared_target", `{"event":"submit","to":"approved"}`, 409},
		"a target with NUL":       {"undeclared_target", `{"event":"submit","to":"a\u0000"}`, 409},
		"a note of 5 KiB":         {"input_invalid", `{"event":"submit","note":"` + long(5000) + `"}`, 422},
		"a form that nobody asks": {"input_invalid", `{"event":"submit","input":{"a":1}}`, 422},
		"roles in the form":       {"input_invalid", `{"event":"submit","input":{"roles":["manager"],"actor":{"id":"adam"}}}`, 422},
		"a note with NUL":         {"input_invalid", `{"event":"submit","note":"a\u0000b"}`, 422},
		"an input with NUL":       {"input_invalid", `{"event":"submit","input":{"a":"\u0000"}}`, 422},
	} {
		out = append(out, problem("fire: "+name, c.status, c.code, ask("POST", fire, c.body)))
	}
	return append(out,
		problem("form: a text with NUL", 422, "input_invalid", ask("POST", fill, `{"event":"fill","input":{"text":"a\u0000b"}}`)),
		problem("facts: a text with NUL", 422, "input_invalid", ask("PATCH", "/v1/machines/form/instances/f/facts", `{"name":"a\u0000b"}`)),
		problem("facts: a name with NUL", 422, "input_invalid", ask("PATCH", "/v1/machines/form/instances/f/facts", `{"na\u0000me":"a"}`)),
		problem("create: a fact with NUL", 422, "input_invalid", ask("POST", "/v1/machines/form/instances", `{"id":"new","facts":{"name":"a\u0000b"}}`)),
		problem("create: a note with NUL", 422, "input_invalid", ask("POST", loans, `{"id":"new","facts":{"amount":1},"note":"a\u0000b"}`)),
		problem("facts: 50 KiB", 422, "input_invalid", ask("PATCH", loan+"/facts", `{"amount":1,"x":"`+long(50<<10)+`"}`)),
		problem("available: 201", 422, "input_invalid", ask("POST", "/v1/available", `{"instances":[`+strings.Repeat(`{"machine":"loan","id":"x"},`, 200)+`{"machine":"loan","id":"x"}]}`)),
		malformed("available: a stranger inside", ask("POST", "/v1/available", `{"instances":[{"machine":"loan","id":"x","tenant":"other"}]}`)),
		malformed("available: capitals inside", ask("POST", "/v1/available", `{"instances":[{"Machine":"loan","ID":"x"}]}`)),
		malformed("available: twice inside", ask("POST", "/v1/available", `{"instances":[{"machine":"loan","id":"x","id":"y"}]}`)),
		malformed("available: a list inside", ask("POST", "/v1/available", `{"instances":[["loan","x"]]}`)),
		malformed("actor: nothing", ask("PATCH", "/v1/actors/evan", `{}`)),
		problem("actor: by somebody who may not", 403, "denied", ask("PATCH", "/v1/actors/evan", `{"active":false}`)),
		problem("roles: by somebody who may not", 403, "denied", ask("PUT", "/v1/actors/erin/roles/manager", "")),
		malformed("roles: with a body", ask("PUT", "/v1/actors/evan/roles/manager", `{}`)),
	)
}
