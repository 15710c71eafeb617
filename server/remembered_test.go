package server

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

func TestRememberedTokensAreBounded(t *testing.T) {
	const most = 100
	m := newRemembered(most)
	for i := range 10 * most {
		m.put(idOf(fmt.Sprint(i)), rememberedToken{actor: interlock.Actor{ID: fmt.Sprint(i)}})
		_, ok := m.get(idOf("0"))
		require.True(t, ok, "what is asked for stays")
		require.LessOrEqual(t, len(m.young)+len(m.old), most)
	}
	got, ok := m.get(idOf("999"))
	require.True(t, ok)
	require.Equal(t, "999", got.actor.ID)
	_, ok = m.get(idOf("500"))
	require.False(t, ok)
	require.Nil(t, newRemembered(-1))
}

// Whatever the token, it is refused by what may be read before the signature, or
// has one algorithm, a plain kid and one object of claims.
func FuzzTokenForm(f *testing.F) {
	f.Fuzz(func(t *testing.T, head, claims string) {
		token := strictBase64.EncodeToString([]byte(head)) + "." + strictBase64.EncodeToString([]byte(claims)) + ".AA"
		parsed, err := parseToken(token)
		if err != nil {
			var told credentialError
			require.ErrorAs(t, err, &told)
			return
		}
		require.NotNil(t, parsed.claims)
		require.True(t, parsed.kid == "" || plainKid(parsed.kid))
		members, err := object([]byte(head))
		require.NoError(t, err)
		for _, name := range refusedHeaders {
			require.NotContains(t, members, name)
		}
	})
}
