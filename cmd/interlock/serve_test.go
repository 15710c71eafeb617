package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"
)

// keys makes a key set file and a signer of tokens.
func keys(t *testing.T) (file string, token func(sub string) string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	key, err := jwk.Import(private)
	require.NoError(t, err)
	require.NoError(t, key.Set(jwk.KeyIDKey, "k1"))
	require.NoError(t, key.Set(jwk.AlgorithmKey, jwa.ES256()))
	public, err := key.PublicKey()
	require.NoError(t, err)
	set := jwk.NewSet()
	require.NoError(t, set.AddKey(public))
	b, err := json.Marshal(set)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(file, b, 0o600))
	return file, func(sub string) string {
		tok, err := jwt.NewBuilder().Issuer("https://login.example").Audience([]string{"interlock"}).Subject(sub).
			IssuedAt(time.Now()).Expiration(time.Now().Add(50 * time.Minute)).Build()
		require.NoError(t, err)
		signed, err := jwt.Sign(tok, jwt.WithKey(jwa.ES256(), key))
		require.NoError(t, err)
		return string(signed)
	}
}

const deskYAML = `
machine: desk
initial: open
create: {requires: [clerk]}
states: {open: {}, shut: {}}
events:
  shut: {from: open, to: shut, requires: [clerk], checks: [by_day]}
  reopen: {from: shut, to: open, requires: [clerk]}
`

const deskRego = "package interlock.machine.desk\n\n# METADATA\n# title: Only by day\nby_day if input.now.ns > 0\n"

// folders are machines and policies of a small server.
func folders(t *testing.T) (machines, rego string) {
	t.Helper()
	machines, rego = t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(machines, "desk.yaml"), []byte(deskYAML), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(rego, "desk.rego"), []byte(deskRego), 0o600))
	return machines, rego
}

func TestServe(t *testing.T) {
	keyFile, token := keys(t)
	machines, rego := folders(t)
	conf := write(t, "interlock.yaml", strings.Join([]string{
		"sqlite: " + filepath.Join(t.TempDir(), "s.db"), "machines: " + machines, "policies: " + rego, "bootstrap_admin: adam", "metrics: 127.0.0.1:0",
		"jwt: {issuer: https://login.example, audience: interlock, algorithms: [ES256], keys: " + keyFile + "}", "",
	}, "\n"))
	m, said, stop := starting(t, `"address":"(127\.0\.0\.1:\d+)"`, "serve", "--config", conf, "--listen", "127.0.0.1:0")
	base := "http://" + m[1]
	adam := "-H 'Authorization: Bearer " + token("adam") + "'"
	clerk := "-H 'Authorization: Bearer " + token("carl") + "' -H 'Content-Type: application/json'"

	status, body := curl(t, "curl "+adam+" "+base+"/v1/actors/adam")
	require.Equal(t, 200, status, body)
	require.Contains(t, body, "interlock:admin")
	code, out, errOut := exec(t, "roles", "grant", "carl", "clerk", "--url", base, "--token", token("adam"))
	require.Equal(t, 0, code, out+errOut)
	status, body = curl(t, "curl "+clerk+` -d '{"id":"1"}' `+base+"/v1/machines/desk/instances")
	require.Equal(t, 201, status, body)
	status, _ = curl(t, "curl "+base+"/v1/machines")
	require.Equal(t, 401, status)

	shut := func() int {
		status, _ := curl(t, "curl "+clerk+` -d '{"event":"shut"}' `+base+"/v1/machines/desk/instances/1/events?dry_run=true")
		return status
	}
	require.Equal(t, http.StatusOK, shut())
	// save writes a file, again while nobody seems to have noticed: the folders are
	// watched soon after the server answers.
	save := func(path, text string, noticed func() bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			for n := 0; n < 40 && !noticed(); n++ {
				time.Sleep(50 * time.Millisecond)
			}
			return noticed()
		}, patience, time.Millisecond)
	}
	// A wrong policy changes nothing; a right one takes effect.
	save(filepath.Join(rego, "desk.rego"), "package interlock.machine.desk\n\nby_day if {", func() bool { return strings.Contains(said(), "reload refused") })
	require.Equal(t, http.StatusOK, shut())
	save(filepath.Join(rego, "desk.rego"), strings.Replace(deskRego, "> 0", "< 0", 1), func() bool { return shut() == http.StatusForbidden })
	// So it is with machines.
	save(filepath.Join(machines, "desk.yaml"), strings.Replace(deskYAML, ", checks: [by_day]", "", 1), func() bool { return shut() == http.StatusOK })
	require.Equal(t, 0, stop())
}

func TestServeRefusesWhatIsUnsafe(t *testing.T) {
	keyFile, _ := keys(t)
	machines, _ := folders(t)
	complete := []string{"machines: " + machines, "jwt: {issuer: i, audience: a, keys: " + keyFile + "}"}
	for _, c := range []struct {
		name  string
		lines []string
		args  []string
		err   []string
	}{
		{"nothing", nil, nil, []string{"jwt.issuer is missing", "jwt.audience is missing", "jwt.keys_url", "INTERLOCK_JWT_ISSUER"}},
		{"unknown key", append([]string{"lisen: x"}, complete...), nil, []string{"lisen"}},
		{"twice", append([]string{"log: json", "log: text"}, complete...), nil, []string{"log"}},
		{"second document", append(complete, "---", "log: text"), nil, []string{"a second document"}},
		{"address", append([]string{"listen: here"}, complete...), nil, []string{`listen "here"`}},
		{"log", append([]string{"log: xml"}, complete...), nil, []string{"json or text"}},
		{"no machines", []string{"machines: " + t.TempDir(), complete[1]}, nil, []string{"no machine is here"}},
		{"no keys", []string{complete[0], "jwt: {issuer: i, audience: a, keys: none.json}"}, nil, []string{"none.json"}},
		{"algorithm none", []string{complete[0], "jwt: {issuer: i, audience: a, algorithms: [none], keys: " + keyFile + "}"}, nil, []string{"none"}},
		{"no policy", complete, []string{"--sqlite", filepath.Join(t.TempDir(), "x.db")}, []string{"by_day"}},
		{"postgres", append([]string{"postgres: postgres://u:hunter2@127.0.0.1:1/x"}, complete...), nil, []string{"doesn't answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := write(t, "c.yaml", strings.Join(c.lines, "\n")+"\n")
			code, out, errOut := exec(t, append([]string{"serve", "--config", conf, "--listen", "127.0.0.1:0"}, c.args...)...)
			if c.name == "address" {
				code, out, errOut = exec(t, "serve", "--config", conf)
			}
			require.Equal(t, 2, code, out)
			for _, want := range c.err {
				require.Contains(t, errOut, want)
			}
			require.NotContains(t, errOut+out, "hunter2")
		})
	}
}

// What serve --help prints is a file that serve reads: every key, each at its default.
func TestTheConfigurationInTheHelpIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "interlock.yaml")
	require.NoError(t, os.WriteFile(path, []byte(configExample), 0o600))
	var c config
	require.NoError(t, c.readFile(path))
	want := defaultConfig()
	want.JWT.Issuer, want.JWT.Audience, want.JWT.Keys = "https://login.example", "interlock", "jwks.json"
	want.JWT.ServiceTypes, want.Headers.Peers, want.Issuers = []string{}, []string{}, []jwtConfig{}
	require.Equal(t, want, c)
	keyFile, _ := keys(t)
	machines, _ := folders(t)
	set, err := os.ReadFile(keyFile)
	require.NoError(t, err)
	t.Chdir(filepath.Dir(path))
	require.NoError(t, os.WriteFile("jwks.json", set, 0o600))
	require.NoError(t, os.Symlink(machines, "machines"))
	require.NoError(t, c.check())

	_, out, _ := exec(t, "serve", "--help")
	var keys func(reflect.Type)
	keys = func(of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			require.Contains(t, out, " "+f.Tag.Get("yaml")+":", f.Name)
			if f.Type.Kind() == reflect.Struct {
				keys(f.Type)
			}
		}
	}
	keys(reflect.TypeFor[config]())
}
