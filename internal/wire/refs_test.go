package wire

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

func TestRefs(t *testing.T) {
	for body, want := range map[string][]interlock.Ref{
		`{"instances":[]}`: {},
		` {"instances": [ {"machine":"loan","id":"1"}, {"id":"2","machine":"case"} , {} ] } `: {{Machine: "loan", ID: "1"}, {Machine: "case", ID: "2"}, {}},
		`{}`: nil,
	} {
		var got Refs
		require.True(t, got.ReadJSON(jsonvalue.Read(body)), body)
		require.Equal(t, want, got.Instances, body)
	}
	for _, body := range []string{
		``, `[]`, `{"instances":null}`, `{"instances":{}}`, `{"instances":[],"instances":[]}`, `{"Instances":[]}`, `{"instances":[],"more":1}`,
		`{"instances":[{"id":"1","id":"2"}]}`, `{"instances":[{"id":1}]}`, `{"instances":[{"id":null}]}`, `{"instances":[{"ID":"1"}]}`, `{"instances":["1"]}`,
		`{"instances":[{"id":"1"}]} x`, `{"instances":[{"id":"1"},]}`, `{"instances":[`, "{\"instances\":[{\"id\":\"\xff\"}]}",
	} {
		got := Refs{Instances: []interlock.Ref{{ID: "before"}}}
		require.False(t, got.ReadJSON(jsonvalue.Read(body)), "%q is for the strict decoder", body)
		require.Equal(t, []interlock.Ref{{ID: "before"}}, got.Instances)
	}
}
