package interlock_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// issuer is what somebody must decide before anything starts.
var issuer = types.Mapping{
	"INTERLOCK_JWT_ISSUER":    "https://login.example.org/",
	"INTERLOCK_JWT_AUDIENCE":  "interlock",
	"INTERLOCK_JWT_KEYS_FILE": "./jwks.json",
}

func loadCompose(t *testing.T, env types.Mapping) (*types.Project, error) {
	t.Helper()
	source, err := os.ReadFile("docker-compose.yml")
	require.NoError(t, err)
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  here,
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: source}},
		Environment: maps.Clone(env), // the loader adds to it
	})
}

func TestComposeStartsInterlockAfterHealthyServices(t *testing.T) {
	project, err := loadCompose(t, issuer)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"interlock", "postgres", "redis"}, project.ServiceNames())
	for name, s := range project.Services {
		require.NotNil(t, s.HealthCheck, name)
		require.Equal(t, "CMD", s.HealthCheck.Test[0], "%s: an image without a shell can't run CMD-SHELL", name)
		require.NotContains(t, []string{"", "0", "root", "0:0"}, s.User, "%s runs as root", name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, name)
	}
	gate := project.Services["interlock"]
	for _, name := range []string{"postgres", "redis"} {
		require.Equal(t, types.ServiceConditionHealthy, gate.DependsOn[name].Condition, name)
		require.Empty(t, project.Services[name].Ports, "%s needs no port on the host", name)
	}
	for _, port := range gate.Ports {
		require.Equal(t, "127.0.0.1", port.HostIP)
	}
}

func TestComposeConfiguresEverythingThatServeAsksFor(t *testing.T) {
	project, err := loadCompose(t, issuer)
	require.NoError(t, err)
	gate := project.Services["interlock"]
	for _, name := range []string{
		"INTERLOCK_LISTEN", "INTERLOCK_POSTGRES", "INTERLOCK_REDIS", "INTERLOCK_MACHINES", "INTERLOCK_POLICIES",
		"INTERLOCK_JWT_ISSUER", "INTERLOCK_JWT_AUDIENCE", "INTERLOCK_JWT_KEYS",
	} {
		value := gate.Environment[name]
		require.NotNil(t, value, name)
		require.NotEmpty(t, *value, name)
	}
	mounted := map[string]types.ServiceVolumeConfig{}
	for _, v := range gate.Volumes {
		mounted[v.Target] = v
	}
	for _, name := range []string{"INTERLOCK_MACHINES", "INTERLOCK_POLICIES", "INTERLOCK_JWT_KEYS"} {
		v, ok := mounted[*gate.Environment[name]]
		require.True(t, ok, "%s is mounted nowhere", name)
		require.True(t, v.ReadOnly, name)
		if name != "INTERLOCK_JWT_KEYS" {
			require.DirExists(t, v.Source, "%s by default", name)
		}
	}
}

// A default issuer or key would be one that everybody knows.
func TestComposeHasNoDefaultForWhoIssuesTokens(t *testing.T) {
	for missing := range issuer {
		env := maps.Clone(issuer)
		delete(env, missing)
		_, err := loadCompose(t, env)
		require.ErrorContains(t, err, missing)
	}
}

func TestImageIsStaticFromScratchAndNotRoot(t *testing.T) {
	source, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	build, final, ok := strings.Cut(string(source), "\nFROM scratch\n")
	require.True(t, ok, "the last stage starts from scratch")
	require.NotContains(t, final, "\nFROM ")
	require.Contains(t, build, "CGO_ENABLED=0", "nothing in scratch to link with")
	require.Contains(t, build, "timetzdata", "no time zones in scratch")
	require.Regexp(t, regexp.MustCompile(`(?m)^USER [1-9]\d*:[1-9]\d*$`), final, "a number: scratch has no /etc/passwd")
	require.Regexp(t, regexp.MustCompile(`(?m)^EXPOSE 8080$`), final)

	project, err := loadCompose(t, issuer)
	require.NoError(t, err)
	user := regexp.MustCompile(`(?m)^USER (.*)$`).FindStringSubmatch(final)[1]
	require.Equal(t, user, project.Services["interlock"].User)
	for _, word := range project.Services["interlock"].HealthCheck.Test[1:] {
		require.Contains(t, final, `"`+word+`"`, "one way to ask for health")
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	require.Contains(t, build, "golang:"+version.FindStringSubmatch(string(mod))[1]+"-")
}
