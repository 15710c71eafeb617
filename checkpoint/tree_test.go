package checkpoint

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// The roots over the first n of these leaves are those that Certificate
// Transparency's implementations test against.
func TestTreeIsThatOfRFC9162(t *testing.T) {
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tree tree
	for n, want := range roots {
		root := tree.root()
		require.Equal(t, want, hex.EncodeToString(root[:]), "%d leaves", n)
		if n < len(leaves) {
			b, err := hex.DecodeString(leaves[n])
			require.NoError(t, err)
			tree.add(b)
		}
	}
}

// What can be read of a note is written the same, byte for byte.
func FuzzNote(f *testing.F) {
	f.Add("example.org/loans\n2\nrg==\nnumber 1\nepoch E\nrows 3\ntime 2026-01-31T12:00:00.000000Z\nprevious none\n")
	f.Add((&Checkpoint{Origin: "o", Size: 7, Number: 2, Epoch: "E", Rows: 9, Previous: "x"}).text())
	f.Add("\n\n\n\n\n\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(text)
		if err != nil {
			return
		}
		require.Equal(t, text, c.text())
		require.NotContains(t, c.headsName(), "/")
		require.GreaterOrEqual(t, c.Number, int64(0))
	})
}

// A file of heads is either refused or exactly what its heads encode to: no two
// lists have the same bytes.
func FuzzHeads(f *testing.F) {
	one := encodeHead(interlock.Mark{Tenant: "a", Machine: "m", ID: "1", Version: 1, Hash: make([]byte, 32)})
	f.Add(one)
	f.Add(append(slices.Clone(one), encodeHead(interlock.Mark{Tenant: "a", Machine: "m", ID: "2", Version: 9})...))
	f.Add([]byte{0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, file []byte) {
		var again []byte
		var last *interlock.Mark
		for m, err := range readHeads(bytes.NewReader(file)) {
			if err != nil {
				return
			}
			require.True(t, last == nil || compareMarks(*last, m) < 0)
			require.Positive(t, m.Version)
			again = append(again, encodeHead(m)...)
			last = &m
		}
		require.True(t, bytes.Equal(file, again))
	})
}
