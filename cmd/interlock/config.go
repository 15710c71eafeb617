package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// secret is a value that never shows itself: not in logs, not in errors.
type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString and LogValue are String, too.
func (s secret) GoString() string     { return s.String() }
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// config is what `serve` runs by: defaults, then the file, then INTERLOCK_*
// variables, then flags.
type config struct {
	Listen   string `yaml:"listen" env:"LISTEN"`
	Metrics  string `yaml:"metrics" env:"METRICS"` // "" : none
	SQLite   string `yaml:"sqlite" env:"SQLITE"`
	Postgres secret `yaml:"postgres" env:"POSTGRES"`
	Witness  string `yaml:"witness" env:"WITNESS"`
	Redis    secret `yaml:"redis" env:"REDIS"`
	Machines string `yaml:"machines" env:"MACHINES"`
	Policies string `yaml:"policies" env:"POLICIES"`
	Admin    string `yaml:"bootstrap_admin" env:"BOOTSTRAP_ADMIN"`
	Log      string `yaml:"log" env:"LOG"` // json or text

	JWT jwtConfig `yaml:"jwt" envPrefix:"JWT_"`

	Checkpoints checkpointConfig `yaml:"checkpoints" envPrefix:"CHECKPOINTS_"`

	CursorKey secret `yaml:"cursor_key" env:"CURSOR_KEY"`
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
	TenantClaim string        `yaml:"tenant_claim" env:"TENANT_CLAIM"`
	PersonClaim string        `yaml:"person_claim" env:"PERSON_CLAIM"`
	RolesClaim  string        `yaml:"roles_claim" env:"ROLES_CLAIM"`
	Leeway      time.Duration `yaml:"leeway" env:"LEEWAY"`
	MaxLifetime time.Duration `yaml:"max_lifetime" env:"MAX_LIFETIME"`
}

func defaultConfig() config {
	return config{Listen: "127.0.0.1:8080", SQLite: "interlock.db", Machines: "machines", Log: "json",
		JWT:         jwtConfig{Algorithms: []string{"RS256", "ES256", "EdDSA"}},
		Checkpoints: checkpointConfig{Every: time.Hour}}
}

// configExample is the whole file; serve --help prints it.
const configExample = `  listen: 127.0.0.1:8080
  metrics: ""                      # address of /metrics; "": none
  sqlite: interlock.db
  postgres: ""                     # postgres:// URL, instead of SQLite
  witness: ""                      # file that remembers the store outside of it; "": beside SQLite, none for PostgreSQL
  redis: ""                        # redis:// URL of a cache; "": none
  machines: machines               # folder of *.yaml
  policies: ""                     # folder of *.rego; "": none
  bootstrap_admin: ""              # id of the first administrator, where there is none yet
  log: json                        # or text
  cursor_key: ""                   # secret, 32 bytes or more: page cursors stay valid over restarts
  jwt:
    issuer: https://login.example  # required: must equal iss
    audience: interlock            # required: must be in aud
    keys: jwks.json                # required: file with a JSON Web Key Set
    algorithms: [RS256, ES256, EdDSA]
    tenant_claim: ""               # claim that names the tenant; "": one tenant
    person_claim: ""               # claim that names the human behind the account; "": sub
    roles_claim: ""                # claim whose texts become roles; "": roles are granted in the gate
    leeway: 0s                     # clock difference allowed, 30s at most
    max_lifetime: 1h               # of a token
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
	if err := env.ParseWithOptions(&c, env.Options{Prefix: "INTERLOCK_", Environment: environ}); err != nil {
		return c, fmt.Errorf("environment: %w", err)
	}
	for name, set := range map[string]func(){
		"listen": func() { c.Listen = flags.Listen }, "metrics": func() { c.Metrics = flags.Metrics },
		"sqlite": func() { c.SQLite = flags.SQLite }, "postgres": func() { c.Postgres = flags.Postgres },
		"redis": func() { c.Redis = flags.Redis }, "machines": func() { c.Machines = flags.Machines },
		"policies": func() { c.Policies = flags.Policies }, "bootstrap-admin": func() { c.Admin = flags.Admin },
		"log": func() { c.Log = flags.Log },
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
		return fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	var second any
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: a second document; one file holds one configuration", path)
	}
	return nil
}

// check refuses what is incomplete: a server that can't tell who asks doesn't start.
func (c *config) check() error {
	var wrong []error
	need := func(value, what, variable string) {
		if value == "" {
			wrong = append(wrong, fmt.Errorf("%s is missing: set it in the file or as %s", what, variable))
		}
	}
	need(c.JWT.Issuer, "jwt.issuer", "INTERLOCK_JWT_ISSUER")
	need(c.JWT.Audience, "jwt.audience", "INTERLOCK_JWT_AUDIENCE")
	need(c.JWT.Keys, "jwt.keys (a file with a JSON Web Key Set)", "INTERLOCK_JWT_KEYS")
	need(c.Machines, "machines", "INTERLOCK_MACHINES")
	for what, addr := range map[string]string{"listen": c.Listen, "metrics": c.Metrics} {
		if addr == "" && what == "metrics" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			wrong = append(wrong, fmt.Errorf("%s %q: want HOST:PORT", what, addr))
		}
	}
	wrong = append(wrong, c.Checkpoints.check()...)
	if c.Log != "json" && c.Log != "text" {
		wrong = append(wrong, fmt.Errorf("log %q: want json or text", c.Log))
	}
	return errors.Join(wrong...)
}

func (c *config) store() string {
	if c.Postgres != "" {
		return string(c.Postgres)
	}
	return "sqlite:" + c.SQLite
}

func (c *config) logger(w io.Writer) *slog.Logger {
	if c.Log == "text" {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}
