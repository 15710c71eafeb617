package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// allowedBuiltins is what policies may call: pure, and done soon on the input
// that the gate lets in. A built-in that a new engine brings is not here until
// somebody has looked at it.
const allowedBuiltins = `
	abs array.concat array.flatten array.reverse array.slice assign
	base64.decode base64.encode base64.is_valid
	base64url.decode base64url.encode base64url.encode_no_pad
	bits.and bits.negate bits.or bits.rsh bits.xor
	ceil concat contains count crypto.hmac.equal crypto.hmac.sha256 crypto.sha256
	div endswith eq equal floor format_int glob.match glob.quote_meta
	graph.reachable gt gte hex.decode hex.encode
	indexof indexof_n internal.member_2 internal.member_3 internal.print
	internal.template_string internal.test_case intersection
	is_array is_boolean is_null is_number is_object is_set is_string
	json.filter json.is_valid json.marshal json.marshal_with_options json.patch json.remove json.unmarshal
	lower lt lte max min minus mul neq numbers.range numbers.range_step
	object.filter object.get object.keys object.remove object.subset object.union object.union_n
	or and plus print product regex.find_all_string_submatch_n regex.find_n regex.globs_match
	regex.is_valid regex.match regex.replace regex.split regex.template_match
	rego.metadata.chain rego.metadata.rule rem replace round
	semver.compare semver.is_valid set_diff sort split sprintf startswith
	strings.any_prefix_match strings.any_suffix_match strings.count
	strings.replace_n strings.reverse strings.split_n substring sum
	time.add_date time.clock time.date time.diff time.format time.parse_duration_ns
	time.parse_ns time.parse_rfc3339_ns time.weekday
	to_number trim trim_left trim_prefix trim_right trim_space trim_suffix type_name
	union units.parse units.parse_bytes upper uri.is_valid uri.parse
	urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object
	uuid.parse walk`

// capabilities is the engine's list cut down to the allowed ones.
func capabilities(extra ...*ast.Builtin) *ast.Capabilities {
	allowed := strings.Fields(allowedBuiltins)
	caps := ast.CapabilitiesForThisVersion()
	caps.AllowNet = []string{} // nil would allow every host
	caps.Builtins = slices.DeleteFunc(slices.Clone(caps.Builtins), func(b *ast.Builtin) bool {
		return b.Nondeterministic || !slices.Contains(allowed, b.Name)
	})
	caps.Builtins = append(caps.Builtins, extra...)
	return caps
}

// refusedBuiltins says of each missing built-in why it isn't there.
func refusedBuiltins() map[string]string {
	allowed := strings.Fields(allowedBuiltins)
	out := map[string]string{}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		if b.Nondeterministic || !slices.Contains(allowed, b.Name) {
			out[b.Name] = refusal(b.Name)
		}
	}
	return out
}

func refusal(name string) string {
	family, _, _ := strings.Cut(name, ".")
	switch {
	case name == "time.now_ns":
		return "a decision must be repeatable; input.now is the clock (input.now.ns, input.now.rfc3339)"
	case family == "rand" || name == "uuid.rfc4122":
		return "a decision must be repeatable; input.request.id identifies the request"
	case family == "http" || family == "net" || family == "providers":
		return "a policy reads only input and data, never the network"
	case family == "opa":
		return "a policy reads only input and data, never the process"
	case name == "bits.lsh":
		return "a large shift can't be stopped once begun"
	case name == "graph.reachable_paths":
		return "a small graph has more paths than can be counted; ask graph.reachable which nodes there are"
	case family == "io" || family == "crypto":
		return "tokens and certificates are verified before the gate; their claims are input.actor.claims"
	case name == "trace":
		return "ask the gate to explain, or use print in tests"
	}
	return "it isn't among the built-ins that are pure and always end soon"
}
