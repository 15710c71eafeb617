package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

const envPrefix = "INTERLOCK_"

// environ is the process's, without what is empty: that is unset, as Compose passes it.
func environ() map[string]string {
	all := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok && v != "" {
			all[k] = v
		}
	}
	return all
}

// otherVariables are no keys of the configuration: of the tools, of docker-compose.yml, of the tests.
var otherVariables = []string{
	"INTERLOCK_CONFIG", "INTERLOCK_TOKEN",
	"INTERLOCK_DB_PASSWORD", "INTERLOCK_JWT_KEYS_FILE", "INTERLOCK_MACHINES_DIR", "INTERLOCK_POLICIES_DIR",
	"INTERLOCK_DATA", "INTERLOCK_HOLD_LOCK", "INTERLOCK_CRASH_ORDER",
}

// notOurs are the tests' variables, and those that Kubernetes and Docker set
// where a service is named interlock.
var notOurs = regexp.MustCompile(`^INTERLOCK_(TEST_|PROVE_|(.+_)?SERVICE_(HOST|PORT)|(.+_)?PORT_\d+_(TCP|UDP|SCTP)|(.+_)?PORT$)`)

// knownVariables refuses a variable that would be taken for a setting and is
// none, as the file's unknown keys are refused.
func knownVariables(environ map[string]string) error {
	params, err := env.GetFieldParamsWithOptions(&config{}, env.Options{Prefix: envPrefix, Environment: environ})
	if err != nil {
		return err
	}
	known := slices.Clone(otherVariables)
	for _, p := range params {
		known = append(known, p.Key)
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || notOurs.MatchString(name) {
			continue
		}
		hint := "serve --help lists the keys that variables are named after"
		if near := nearest(name, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		wrong = append(wrong, fmt.Errorf("the variable %s is no setting: %s", name, hint))
	}
	return errors.Join(wrong...)
}

// nearest is the known name at most two slips away; "": none is.
func nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := slips(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// slips is the Levenshtein distance, in bytes.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
