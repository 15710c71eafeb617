package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a value should be is told by its key, never by a field of the program's.
func TestConfigSaysWhatAKeyWants(t *testing.T) {
	for text, want := range map[string]string{
		`compiled_policies: "false"`:            "[1:20] compiled_policies: want true or false",
		"api_keys: {x: y}":                      "[1:11] api_keys: want true or false",
		"sqlite_memory: 64MiB":                  "[1:16] sqlite_memory: want a whole number",
		"sqlite_memory: 99999999999999999999":   "[1:16] sqlite_memory: want a whole number, and none that large",
		"wait_limit: 5":                         "[1:13] wait_limit: want a duration like 1s",
		"log: text\nwait_limit: soon":           "[2:13] wait_limit: want a duration like 1s",
		"wait_limit: 1s\ndrain_timeout: 10":     "[2:16] drain_timeout: want a duration like 1s",
		"jwt: {issuer: i, max_stale: a day}":    "[1:29] max_stale: want a duration like 1s",
		"jwt:\n  remember: many":                "[2:13] remember: want a whole number",
		"issuers:\n  - {leeway: 5}":             "[2:14] leeway: want a duration like 1s",
		"issuers: {a: b}":                       "[1:10] issuers: want a sequence",
		"headers: {peers: x}":                   "[1:18] peers: want a sequence",
		"tls: 5":                                "[1:6] tls: want a mapping",
		"listen: [a]":                           "[1:9] listen: want text",
		"postgres: {password: hunter2}":         "[1:11] postgres: want text",
		"postgres:\n  password: hunter2":        "[2:3] postgres: want text",
		"heders: {}":                            `unknown field "heders"`,
		"cursor_key: [hunter2]\nlog: [unclosed": "",
	} {
		file := write(t, "c.yaml", text)
		code, _, errOut := exec(t, "config", "print", "--config", file)
		require.Equal(t, 2, code, text)
		require.Contains(t, errOut, want, text)
		require.NotContains(t, errOut, "Go ", text)
		require.NotContains(t, errOut, "hunter2", text)
	}
}

func TestVariablesSayWhatTheyWant(t *testing.T) {
	t.Setenv("INTERLOCK_COMPILED_POLICIES", "maybe")
	t.Setenv("INTERLOCK_SQLITE_MEMORY", "64MiB")
	t.Setenv("INTERLOCK_JWT_MAX_STALE", "5")
	t.Setenv("INTERLOCK_LOG", "text")
	code, _, errOut := exec(t, "config", "print")
	require.Equal(t, 2, code)
	require.Equal(t, []string{
		"interlock: INTERLOCK_SQLITE_MEMORY: want a whole number",
		"INTERLOCK_COMPILED_POLICIES: want true or false",
		"INTERLOCK_JWT_MAX_STALE: want a duration like 1s",
	}, strings.Split(strings.TrimSpace(errOut), "\n"))
}

func TestEveryDurationIsKnown(t *testing.T) {
	var found []string
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for f := range s.Fields() {
			switch {
			case f.Type == reflect.TypeFor[time.Duration]():
				found = append(found, f.Tag.Get("yaml"))
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[config]())
	slices.Sort(found)
	require.Equal(t, slices.Sorted(slices.Values(durationKeys)), found)
}
