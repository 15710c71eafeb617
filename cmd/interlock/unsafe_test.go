package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// What is unsafe doesn't start, and says why and what would be right.
func TestUnsafeConfigurationDoesNotStart(t *testing.T) {
	keyFile, _ := keys(t)
	machines, rego := folders(t)
	secretKeys := write(t, "hs.json", `{"keys":[{"kty":"oct","alg":"HS256","k":"c2hvcnQ"}]}`)
	openKeys := write(t, "open.json", `{"keys":[{"kty":"oct","alg":"HS256","k":"`+strings.Repeat("QUJD", 12)+`"}]}`)
	require.NoError(t, os.Chmod(openKeys, 0o644)) //nolint:gosec // readable by everybody on purpose
	base := "machines: " + machines + "\npolicies: " + rego + "\nsqlite: " + filepath.Join(t.TempDir(), "x.db") + "\n"
	jwt := func(members string) string { return "jwt: {" + members + "}\n" }
	good := jwt("issuer: i, audience: a, algorithms: [ES256], keys: " + keyFile)
	for name, c := range map[string]struct{ text, why string }{
		"no issuer":                {jwt("audience: a, keys: " + keyFile), "jwt.issuer is missing"},
		"no audience":              {jwt("issuer: i, keys: " + keyFile), "jwt.audience is missing"},
		"no keys":                  {jwt("issuer: i, audience: a"), "jwt.keys_url"},
		"no algorithms":            {jwt("issuer: i, audience: a, algorithms: [], keys: " + keyFile), "jwt.algorithms is empty"},
		"algorithm none":           {jwt("issuer: i, audience: a, algorithms: [none], keys: " + keyFile), `algorithm "none"`},
		"short shared secret":      {jwt("issuer: i, audience: a, algorithms: [HS256], keys: " + secretKeys), "too short"},
		"shared secret for all":    {jwt("issuer: i, audience: a, algorithms: [HS256], keys: " + openKeys), "everybody may read it"},
		"shared secret by URL":     {jwt("issuer: i, audience: a, algorithms: [HS256], keys_url: https://i.example/k"), "a shared secret isn't fetched"},
		"keys by http":             {jwt("issuer: i, audience: a, keys_url: http://i.example/k"), "http is allowed on loopback only"},
		"keys that aren't there":   {jwt("issuer: i, audience: a, keys_url: http://127.0.0.1:1/k"), "refused"},
		"keys by two ways":         {jwt("issuer: i, audience: a, algorithms: [ES256], keys_url: https://i.example/k, keys: " + keyFile), "jwt.keys and jwt.keys_url are both there: leave one out"},
		"leeway":                   {jwt("issuer: i, audience: a, algorithms: [ES256], leeway: 5m, keys: " + keyFile), "leeway"},
		"no types":                 {jwt("issuer: i, audience: a, algorithms: [ES256], types: [], keys: " + keyFile), "no typ is accepted"},
		"no key file":              {jwt("issuer: i, audience: a, keys: none.json"), "none.json"},
		"one typ, two kinds":       {jwt("issuer: i, audience: a, algorithms: [ES256], service_types: [jwt], keys: " + keyFile), "one typ, one kind"},
		"half a service's mark":    {jwt("issuer: i, audience: a, algorithms: [ES256], service_claim: gty, keys: " + keyFile), "the claim and its value"},
		"behalf without services":  {jwt("issuer: i, audience: a, algorithms: [ES256], behalf_claim: for, keys: " + keyFile), "nothing that tells services"},
		"issuer twice":             {good + "issuers: [{issuer: i, audience: a, algorithms: [ES256], keys: " + keyFile + "}]\n", "stands there twice"},
		"another issuer, half":     {good + "issuers: [{issuer: j}]\n", "issuers[0].audience is missing"},
		"unknown key":              {good + "heders: {}\n", "heders"},
		"unknown key inside":       {good + "headers: {aktor: X}\n", "aktor"},
		"headers without peers":    {good + "headers: {actor: X-User}\n", "headers.peers is empty"},
		"headers over TCP":         {good + "headers: {actor: X-User, peers: ['uid:0']}\n", "headers over plain TCP"},
		"headers by name, no CA":   {good + "listen: unix:/tmp/x\nheaders: {actor: X-User, peers: ['name:proxy']}\n", "tls.client_ca is missing"},
		"headers without an actor": {good + "headers: {roles: X-Roles}\n", "headers.actor is missing"},
		"metrics for all":          {good + "metrics: 0.0.0.0:9090\n", "metrics_public: true"},
		"metrics for all, no host": {good + "metrics: ':9090'\n", "metrics_public: true"},
		"memory below nothing":     {good + "sqlite_memory: -1\n", "sqlite_memory -1: want MiB between 0 (none) and"},
		"memory beyond any":        {good + "sqlite_memory: 99999999\n", "sqlite_memory 99999999"},
		"cursor key":               {good + "cursor_key: short\n", "want 32 or more"},
		"TLS without a key":        {good + "tls: {cert: c.pem}\n", "cert and key belong together"},
		"TLS on a Unix socket":     {good + "listen: unix:/tmp/x\ntls: {cert: c.pem, key: k.pem}\n", "Unix socket"},
		"TLS key for all":          {good + "tls: {cert: " + openKeys + ", key: " + openKeys + "}\n", "everybody may read it"},
		"a socket of no place":     {good + "listen: unix:x\n", "a path from the root"},
		"administrator":            {good + "bootstrap_admin: 'key~x'\n", "bootstrap_admin"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := write(t, "c.yaml", base+c.text)
			code, out, errOut := exec(t, "serve", "--config", conf)
			require.Equal(t, 2, code, out)
			require.Contains(t, errOut, c.why)
			if name == "keys that aren't there" {
				return // only asking could tell
			}
			code, out, errOut = exec(t, "config", "print", "--config", conf)
			require.Equal(t, 2, code, out)
			require.Contains(t, errOut, c.why)
		})
	}

	for _, command := range [][]string{{"serve"}, {"config", "print"}} {
		code, _, errOut := exec(t, append(command, "--config", write(t, "c.yaml", good), "--machines", "none")...)
		require.Equal(t, 2, code)
		require.Contains(t, errOut, "machines: ")
	}

	open := write(t, "c.yaml", base+good+"cursor_key: "+strings.Repeat("k", 32)+"\n")
	require.NoError(t, os.Chmod(open, 0o644)) //nolint:gosec // readable by everybody on purpose
	code, _, errOut := exec(t, "serve", "--config", open)
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "holds secrets, and everybody may read it")
}

// planted are secrets whose shadow must be nowhere.
var planted = []string{"hunter2-pg", "hunter2-redis", "hunter2-cursor-key-of-32-bytes-or-more"}

func plantedConfig() config {
	c := defaultConfig()
	c.Postgres, c.Redis, c.CursorKey = "postgres://u:hunter2-pg@127.0.0.1:1/x", "redis://u:hunter2-redis@127.0.0.1:1/0", "hunter2-cursor-key-of-32-bytes-or-more"
	return c
}

func TestSecretsDoNotShow(t *testing.T) {
	c := plantedConfig()
	var seen bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&seen, verb+"\n", c)
		fmt.Fprintf(&seen, verb+verb+verb+"\n", c.Postgres, c.Redis, c.CursorKey)
	}
	asJSON, err := json.Marshal(c)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(c)
	require.NoError(t, err)
	seen.Write(asJSON)
	seen.Write(asYAML)
	for _, log := range []*slog.Logger{slog.New(slog.NewJSONHandler(&seen, nil)), slog.New(slog.NewTextHandler(&seen, nil))} {
		log.Info("configuration", "all", c, "postgres", c.Postgres, "group", slog.GroupValue(slog.Any("redis", c.Redis)))
	}
	fmt.Fprint(&seen, fmt.Errorf("start: %v", c.Postgres))
	require.NotEmpty(t, seen.String())
	require.Contains(t, seen.String(), redacted)
	for _, text := range append(planted, "68756e746572") { // in hexadecimal, too
		require.NotContains(t, seen.String(), text)
	}
	// The last resort hides them from whoever holds them as plain text.
	var out bytes.Buffer
	w := redacting(&out, c.secrets()...)
	fmt.Fprintf(w, "dial %s: %q failed for %s\n", string(c.Postgres), "hunter2-redis", "hunter2-cursor-key-of-32-bytes-or-more")
	for _, text := range planted {
		require.NotContains(t, out.String(), text)
	}
}

// Neither what the program prints nor how it fails shows a secret.
func TestNothingThatTheProgramSaysShowsASecret(t *testing.T) {
	keyFile, _ := keys(t)
	machines, rego := folders(t)
	text := "machines: " + machines + "\npolicies: " + rego + "\n" +
		"postgres: postgres://u:hunter2-pg@127.0.0.1:1/x\nredis: redis://u:hunter2-redis@127.0.0.1:1/0\ncursor_key: hunter2-cursor-key-of-32-bytes-or-more\n" +
		"jwt: {issuer: i, audience: a, algorithms: [ES256], keys: " + keyFile + "}\n"
	conf := write(t, "c.yaml", text)
	broken := write(t, "broken.yaml", text+"unknown: 1\n")
	mistyped := write(t, "mistyped.yaml", strings.Replace(text, "cursor_key: ", "api_keys: ", 1))
	unreadable := write(t, "url.yaml", strings.Replace(text, "postgres://u:hunter2-pg@127.0.0.1:1/x", "postgres://u:hunter2-pg%zz@x/y", 1))
	for _, args := range [][]string{
		{"config", "print", "--config", conf}, {"serve", "--config", conf, "--listen", "127.0.0.1:0"}, {"serve", "--config", broken},
		{"config", "print", "--config", broken}, {"serve", "--config", mistyped}, {"serve", "--config", unreadable},
		{"serve", "--config", conf, "--postgres", "postgres://u:hunter2-pg@127.0.0.1:1/x?connect_timeout=soon"},
		{"serve", "--config", conf, "--postgres", "", "--sqlite", filepath.Join(t.TempDir(), "s.db"), "--redis", "redis://u:hunter2-redis@127.0.0.1:port"},
		{"audit", "verify", "--store", "postgres://u:hunter2-pg@127.0.0.1:1/x"},
	} {
		code, out, errOut := exec(t, args...)
		if args[0] != "config" {
			require.NotEqual(t, 0, code, args)
		}
		require.NotEmpty(t, out+errOut, args)
		for _, secret := range planted {
			require.NotContains(t, out+errOut, secret, args)
		}
	}
	code, out, errOut := exec(t, "config", "print", "--config", conf)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "postgres: \"[redacted]\"")
	require.Contains(t, out, "issuer: i")
	code, _, errOut = exec(t, "config", "print", "--config", write(t, "none.yaml", "log: text\n"))
	require.Equal(t, 2, code)
	require.Contains(t, errOut, "jwt.issuer is missing")
}

// What is printed can be fed back: every default that serve would fill in stands in it.
func TestThePrintedConfigurationIsTheConfiguration(t *testing.T) {
	keyFile, _ := keys(t)
	machines, _ := folders(t)
	conf := write(t, "c.yaml", "machines: "+machines+"\njwt: {issuer: i, audience: a, algorithms: [ES256], keys: "+keyFile+"}\n"+
		"issuers: [{issuer: j, audience: a, algorithms: [ES256], keys: "+keyFile+"}]\n")
	code, first, errOut := exec(t, "config", "print", "--config", conf)
	require.Equal(t, 0, code, errOut)
	for _, line := range []string{"max_lifetime: 1h", "max_stale: 24h", "remember: 4096", "- at+jwt"} {
		require.Equal(t, 2, strings.Count(first, line), "%s\n%s", line, first)
	}
	code, second, errOut := exec(t, "config", "print", "--config", write(t, "again.yaml", first))
	require.Equal(t, 0, code, errOut)
	require.Equal(t, first, second)
}

func TestAMisspeltVariableIsAnError(t *testing.T) {
	for name, want := range map[string]string{
		"INTERLOCK_LISTN": "did you mean INTERLOCK_LISTEN?", "INTERLOCK_JWT_ISUER": "did you mean INTERLOCK_JWT_ISSUER?", "INTERLOCK_ISSUERS": "no setting",
		"INTERLOCK_CHECKPOINTS_EVERYTHING": "serve --help", "INTERLOCK_LISTEN": "", "INTERLOCK_TLS_KEY": "", "INTERLOCK_TOKEN": "", "INTERLOCK_TEST_POSTGRES_URL": "",
		"INTERLOCK_PROVE_REPORT": "", "INTERLOCK_DATA": "", "INTERLOCK_SERVICE_HOST": "", "INTERLOCK_PORT": "", "INTERLOCK_PORT_8080_TCP_ADDR": "", "HOME": "",
	} {
		err := knownVariables(map[string]string{name: "x"})
		if want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, want)
	}
	t.Setenv("INTERLOCK_LISTN", "127.0.0.1:1")
	for _, command := range [][]string{{"serve"}, {"config", "print"}} {
		code, _, errOut := exec(t, command...)
		require.Equal(t, 2, code)
		require.Contains(t, errOut, "INTERLOCK_LISTN")
	}
}
