package fsm

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	plainName     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)
	conditionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

const (
	maxName        = 64 // characters of a quoted name
	reservedPrefix = "interlock:"

	// RoleAdmin is the only role that the gate itself knows.
	RoleAdmin = reservedPrefix + "admin"
)

// yamlBooleans are plain words that some YAML readers take for true or false.
var yamlBooleans = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// ruleWords are names that mean something else in a policy.
var ruleWords = []string{
	"allow", "deny", "target", "params", "input", "data",
	"as", "contains", "default", "else", "every", "false", "if", "import", "in", "not", "null", "package", "some", "true", "with",
}

// ref is a name with the place where it stands.
type ref struct {
	name string
	at   place
}

// Slug is the stable identifier of a name for addresses and Rego packages:
// ASCII letters in lower case, every run of characters outside [a-z0-9_-] one "_".
func Slug(name string) string {
	var b strings.Builder
	run := false
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if ok {
			b.WriteRune(c)
		} else if !run {
			b.WriteByte('_')
		}
		run = !ok
	}
	return b.String()
}

// name reads the name of a machine, state, event or role.
func (d *decoder) name(n *node, what string) (ref, bool) {
	sentence := nameFault(n, what)
	if sentence != "" {
		d.errorf(n.at, "bad_name", "%s", sentence)
		return ref{}, false
	}
	return ref{n.text, n.at}, true
}

// nameFault says what is wrong with a name, "" when nothing is.
func nameFault(n *node, what string) string {
	switch {
	case n.kind == nullNode:
		return "the name of " + what + " is missing"
	case n.kind == numberNode || n.kind == boolNode:
		return n.describe() + " is not a name; names are texts, so write it in quotes: \"" + n.text + "\""
	case n.kind != stringNode:
		return "the name of " + what + " is expected here, not " + n.describe()
	case n.text == "":
		return "the name of " + what + " is empty"
	case n.plain && slices.Contains(yamlBooleans, strings.ToLower(n.text)):
		return n.text + " without quotes is a boolean to many YAML readers; write it in quotes: \"" + n.text + "\""
	case utf8.RuneCountInString(n.text) > maxName:
		return "the name " + quote(n.text) + " is longer than 64 characters"
	case strings.HasPrefix(n.text, "$"):
		return "the name " + quote(n.text) + " begins with $, which marks the conditions of a policy"
	case plainName.MatchString(n.text):
		return ""
	}
	return quotedNameFault(n)
}

// quotedNameFault judges a name that isn't of the plain form.
func quotedNameFault(n *node) string {
	for _, c := range n.text {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return "the name " + quote(n.text) + " holds a character that can't be printed"
		}
	}
	if strings.TrimSpace(n.text) != n.text {
		return "the name " + quote(n.text) + " begins or ends with a space"
	}
	if n.plain {
		return "the name " + n.text + " is more than a letter followed by up to 62 letters, digits, _ and -; write it in quotes: " + quote(n.text)
	}
	return ""
}

// roleFault says why a word can't be declared as a role, "" when it can.
func roleFault(name string) string {
	slug := Slug(name)
	switch {
	case slug == Anyone || slug == System:
		return quote(name) + " is reserved and no role: it can only stand in `requires`, as " + slug
	case strings.HasPrefix(strings.ToLower(name), reservedPrefix):
		return quote(name) + " is reserved: roles that begin with interlock: belong to the gate"
	}
	return ""
}

// requirement reads one entry of `requires`: a role, $condition, anyone, system
// or interlock:admin.
func (d *decoder) requirement(n *node) (ref, bool) {
	if n.kind == stringNode {
		switch name := n.text; {
		case name == Anyone || name == System || name == RoleAdmin:
			return ref{name, n.at}, true
		case strings.HasPrefix(name, "$"):
			if sentence := conditionFault(name[1:]); sentence != "" {
				d.errorf(n.at, "bad_name", "after $ stands the name of a rule; %s", sentence)
				return ref{}, false
			}
			return ref{name, n.at}, true
		case roleFault(name) != "":
			sentence := roleFault(name)
			if strings.HasPrefix(strings.ToLower(name), reservedPrefix) {
				sentence += "; of these there is only " + RoleAdmin
			}
			d.errorf(n.at, "reserved_name", "%s", sentence)
			return ref{}, false
		}
	}
	return d.name(n, "a role, $condition, anyone or system")
}

// check reads the name of a condition.
func (d *decoder) check(n *node) (ref, bool) {
	switch {
	case n.kind != stringNode:
		d.errorf(n.at, "bad_name", "the name of a rule of the policy is expected here, not %s", n.describe())
		return ref{}, false
	case strings.HasPrefix(n.text, "$"):
		d.errorf(n.at, "bad_name", "%s is written without $ among checks; $ marks a condition in `requires`", quote(n.text))
		return ref{}, false
	}
	if sentence := conditionFault(n.text); sentence != "" {
		d.errorf(n.at, "bad_name", "%s", sentence)
		return ref{}, false
	}
	return ref{n.text, n.at}, true
}

func conditionFault(name string) string {
	if slices.Contains(ruleWords, name) {
		return quote(name) + " has another meaning in policies; choose another name for the rule"
	}
	if !conditionName.MatchString(name) {
		return quote(name) + " can't be the name of a rule; use a letter or _ followed by up to 62 letters, digits and _"
	}
	return ""
}

// suggest is `; did you mean "x"?` for the known name nearest to an unknown
// one, "" when none is near.
func suggest(name string, known []string) string {
	if len(name) < 3 {
		return ""
	}
	best, nearest := "", max(1, len(name)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < nearest {
			best, nearest = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + quote(best) + "?"
}

// distance is the Levenshtein distance of two texts, in bytes.
func distance(a, b string) int {
	if len(a) > maxName || len(b) > maxName {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
