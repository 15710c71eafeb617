package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock/store/sqlite"
)

// config is what `serve` runs by: defaults, then the file, then INTERLOCK_*
// variables, then flags.
type config struct {
	Listen   string `yaml:"listen" env:"LISTEN"`
	Metrics  string `yaml:"metrics" env:"METRICS"` // "" : none
	Public   bool   `yaml:"metrics_public" env:"METRICS_PUBLIC"`
	SQLite   string `yaml:"sqlite" env:"SQLITE"`
	Memory   int    `yaml:"sqlite_memory" env:"SQLITE_MEMORY"` // MiB
	Postgres secret `yaml:"postgres" env:"POSTGRES"`
	Witness  string `yaml:"witness" env:"WITNESS"`
	Redis    secret `yaml:"redis" env:"REDIS"`
	Machines string `yaml:"machines" env:"MACHINES"`
	Policies string `yaml:"policies" env:"POLICIES"`
	Compiled bool   `yaml:"compiled_policies" env:"COMPILED_POLICIES"`
	Strict   bool   `yaml:"strict_activation" env:"STRICT_ACTIVATION"`
	Admin    string `yaml:"bootstrap_admin" env:"BOOTSTRAP_ADMIN"`
	Log      string `yaml:"log" env:"LOG"` // json or text

	Checkpoints checkpointConfig `yaml:"checkpoints" envPrefix:"CHECKPOINTS_"`

	CursorKey secret `yaml:"cursor_key" env:"CURSOR_KEY"`

	MaxInFlight  int           `yaml:"max_in_flight" env:"MAX_IN_FLIGHT"`
	MaxWaiting   int           `yaml:"max_waiting" env:"MAX_WAITING"`
	WaitLimit    time.Duration `yaml:"wait_limit" env:"WAIT_LIMIT"`
	DrainTimeout time.Duration `yaml:"drain_timeout" env:"DRAIN_TIMEOUT"`

	TLS     tlsConfig     `yaml:"tls" envPrefix:"TLS_"`
	JWT     jwtConfig     `yaml:"jwt" envPrefix:"JWT_"`
	Issuers []jwtConfig   `yaml:"issuers"` // in the file only
	APIKeys bool          `yaml:"api_keys" env:"API_KEYS"`
	Headers headersConfig `yaml:"headers" envPrefix:"HEADERS_"`
}

type tlsConfig struct {
	Cert     string `yaml:"cert" env:"CERT"`
	Key      string `yaml:"key" env:"KEY"`
	ClientCA string `yaml:"client_ca" env:"CLIENT_CA"`
}

type headersConfig struct {
	Actor  string   `yaml:"actor" env:"ACTOR"`
	Person string   `yaml:"person" env:"PERSON"`
	Tenant string   `yaml:"tenant" env:"TENANT"`
	Roles  string   `yaml:"roles" env:"ROLES"`
	Peers  []string `yaml:"peers" env:"PEERS"`
}

// checkpointConfig is where signed checkpoints of history go; without a folder there are none.
type checkpointConfig struct {
	Key   string        `yaml:"key" env:"KEY"`
	Dir   string        `yaml:"dir" env:"DIR"`
	URL   string        `yaml:"url" env:"URL"`
	Every time.Duration `yaml:"every" env:"EVERY"`
}

type jwtConfig struct {
	Issuer      string        `yaml:"issuer" env:"ISSUER"`
	Audience    string        `yaml:"audience" env:"AUDIENCE"`
	Algorithms  []string      `yaml:"algorithms" env:"ALGORITHMS"`
	Keys        string        `yaml:"keys" env:"KEYS"`
	KeysURL     string        `yaml:"keys_url" env:"KEYS_URL"`
	MaxStale    time.Duration `yaml:"max_stale" env:"MAX_STALE"`
	Types       []string      `yaml:"types" env:"TYPES"`
	TenantClaim string        `yaml:"tenant_claim" env:"TENANT_CLAIM"`
	PersonClaim string        `yaml:"person_claim" env:"PERSON_CLAIM"`
	RolesClaim  string        `yaml:"roles_claim" env:"ROLES_CLAIM"`

	ServiceTypes []string `yaml:"service_types" env:"SERVICE_TYPES"`
	ServiceClaim string   `yaml:"service_claim" env:"SERVICE_CLAIM"`
	ServiceValue string   `yaml:"service_value" env:"SERVICE_VALUE"`
	BehalfClaim  string   `yaml:"behalf_claim" env:"BEHALF_CLAIM"`

	Leeway      time.Duration `yaml:"leeway" env:"LEEWAY"`
	MaxLifetime time.Duration `yaml:"max_lifetime" env:"MAX_LIFETIME"`
	Remember    int           `yaml:"remember" env:"REMEMBER"`
}

func defaultConfig() config {
	return config{MaxInFlight: 256, MaxWaiting: 256, WaitLimit: time.Second, DrainTimeout: 10 * time.Second, Listen: "127.0.0.1:8080", SQLite: "interlock.db", Memory: sqlite.DefaultMemory >> 20, Machines: "machines", Log: "json", APIKeys: true, Compiled: true,
		JWT: jwtConfig{Algorithms: []string{"RS256", "ES256", "EdDSA"}, Types: []string{"JWT", "at+jwt"},
			MaxStale: 24 * time.Hour, MaxLifetime: time.Hour, Remember: 4096},
		Checkpoints: checkpointConfig{Every: time.Hour}}
}

// issuers are all that may be configured, the one under jwt first.
func (c *config) issuers() []*jwtConfig {
	all := []*jwtConfig{&c.JWT}
	for i := range c.Issuers {
		all = append(all, &c.Issuers[i])
	}
	return all
}

// defaults fills in what isn't said; an empty list is said, and wrong.
func (j *jwtConfig) defaults() {
	d := defaultConfig().JWT
	if j.Algorithms == nil {
		j.Algorithms = d.Algorithms
	}
	if j.Types == nil {
		j.Types = d.Types
	}
	j.MaxStale = cmp.Or(j.MaxStale, d.MaxStale)
	j.MaxLifetime = cmp.Or(j.MaxLifetime, d.MaxLifetime)
	j.Remember = cmp.Or(j.Remember, d.Remember)
}

// configExample is the whole file; serve --help prints it.
const configExample = `  listen: 127.0.0.1:8080           # or unix:/run/interlock.sock; beyond this machine without tls: behind a proxy only
  metrics: ""                      # address of /metrics; "": none
  metrics_public: false            # true: that address may be one that others reach
  sqlite: interlock.db
  sqlite_memory: 64                # MiB of facts that are kept in memory, ready to be decided on; 0: none
  postgres: ""                     # postgres:// URL, instead of SQLite
  witness: ""                      # file that remembers the store outside of it; "": beside SQLite, none for PostgreSQL
  redis: ""                        # redis:// URL of a cache; "": none
  machines: machines               # folder of *.yaml
  policies: ""                     # folder of *.rego; "": none
  compiled_policies: true          # false: menus, dry runs and refusals, too, are OPA's usual evaluator's
  strict_activation: false         # true: other servers' former rules commit nothing once new ones are active, instead of for 10 minutes
  bootstrap_admin: ""              # id of the first administrator, where there is none yet
  log: json                        # or text
  cursor_key: ""                   # secret, 32 bytes or more: page cursors stay valid over restarts
  max_in_flight: 256               # requests worked on at once
  max_waiting: 256                 # that wait for that; -1: none. Beyond it: 503 with Retry-After
  wait_limit: 1s                   # how long they wait
  drain_timeout: 10s               # that requests get to finish when the server stops
  tls:                             # PEM files; "": none
    cert: ""
    key: ""
    client_ca: ""                  # whose client certificates are verified, where one is shown
  jwt:
    issuer: https://login.example  # required: must equal iss
    audience: interlock            # required: must be in aud
    keys_url: ""                   # https address of the issuer's JSON Web Key Set; fetched at start, then every 5 min at most
    keys: jwks.json                # or a file with the set: one of the two is required
    max_stale: 24h                 # how long the last keys hold while keys_url doesn't answer
    algorithms: [RS256, ES256, EdDSA]
    types: [JWT, at+jwt]           # accepted typ of people's tokens
    service_types: []              # accepted typ of services' tokens, and
    service_claim: ""              # the claim that makes a token a service's
    service_value: ""              # when it has this value
    behalf_claim: ""               # claim of a service's token: the user for whom it asks (act of RFC 8693 needs none)
    tenant_claim: ""               # claim that names the tenant; "": one tenant
    person_claim: ""               # claim that names the human behind the account; "": sub
    roles_claim: ""                # claim whose texts become roles; "": roles are granted in the gate
    leeway: 0s                     # clock difference allowed, 30s at most
    max_lifetime: 1h               # of a token
    remember: 4096                 # verified tokens that need no second verification; -1: none
  issuers: []                      # more of them, each like jwt
  api_keys: true                   # keys of services; see interlock keys
  headers:                         # a proxy says who asks; never over plain TCP
    actor: ""                      # header with the actor's id; "": no header is believed
    person: ""
    tenant: ""
    roles: ""                      # separated by commas
    peers: []                      # whom to believe: uid:NUMBER (listen unix:), name:NAME (a client certificate)
  checkpoints:                     # of history, signed
    dir: ""                        # folder that they are added to; "": there are none
    key: ""                        # private key of "interlock audit keygen", readable by its owner alone
    url: ""                        # https address that each note is posted to as well
    every: 1h`

// configFlags declares the flags of serve; a flag that is given goes before all else.
func configFlags(cmd *cobra.Command, c *config) {
	fl := cmd.Flags()
	fl.String("config", "", "YAML file")
	fl.StringVar(&c.Listen, "listen", "", "address of the API (default 127.0.0.1:8080)")
	fl.StringVar(&c.Metrics, "metrics", "", "address of /metrics (default: none)")
	fl.StringVar(&c.SQLite, "sqlite", "", "SQLite file, where there is no PostgreSQL (default interlock.db)")
	fl.StringVar((*string)(&c.Postgres), "postgres", "", "postgres:// URL")
	fl.StringVar((*string)(&c.Redis), "redis", "", "redis:// URL of a cache (default: none)")
	fl.StringVar(&c.Machines, "machines", "", "folder of machine files (default machines)")
	fl.StringVar(&c.Policies, "policies", "", "folder of Rego policies (default: none)")
	fl.BoolVar(&c.Strict, "strict", false, "retire former rules at once when new ones are activated (default: after 10 minutes)")
	fl.StringVar(&c.Admin, "bootstrap-admin", "", "id of the first administrator, where there is none yet")
	fl.StringVar(&c.Log, "log", "", "json or text (default json)")
}

// loadConfig reads file and environment, and lays the given flags over them.
func loadConfig(cmd *cobra.Command, flags config, environ map[string]string) (config, error) {
	c := defaultConfig()
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return c, err
	}
	if file == "" {
		file = environ["INTERLOCK_CONFIG"]
	}
	if file != "" {
		if err := c.readFile(file); err != nil {
			return c, err
		}
	}
	if err := knownVariables(environ); err != nil {
		return c, err
	}
	if err := env.ParseWithOptions(&c, env.Options{Prefix: envPrefix, Environment: environ}); err != nil {
		return c, misfits(err, environ)
	}
	for _, j := range c.issuers() {
		j.defaults()
	}
	for name, set := range map[string]func(){
		"listen": func() { c.Listen = flags.Listen }, "metrics": func() { c.Metrics = flags.Metrics },
		"sqlite": func() { c.SQLite = flags.SQLite }, "postgres": func() { c.Postgres = flags.Postgres },
		"redis": func() { c.Redis = flags.Redis }, "machines": func() { c.Machines = flags.Machines },
		"policies": func() { c.Policies = flags.Policies }, "bootstrap-admin": func() { c.Admin = flags.Admin },
		"log": func() { c.Log = flags.Log }, "strict": func() { c.Strict = flags.Strict },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	return c, c.check()
}

func (c *config) readFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict())
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %s", path, misfit(err, string(b)))
	}
	var second any
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: a second document; one file holds one configuration", path)
	}
	return c.kept(path)
}

func (c *config) store() string {
	if c.Postgres != "" {
		return string(c.Postgres)
	}
	return "sqlite:" + c.SQLite
}

func (c *config) secrets() []secret { return []secret{c.Postgres, c.Redis, c.CursorKey} }

func (c *config) logger(w io.Writer) *slog.Logger {
	if c.Log == "text" {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}
