package wire

import (
	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// Refs is the body of a question about many instances. Instances is nil where the
// body has none.
type Refs struct {
	Instances []interlock.Ref `json:"instances"`
}

// ReadJSON is [Event.ReadJSON] of such a body.
func (l *Refs) ReadJSON(r *jsonvalue.Reader) bool {
	var list []interlock.Ref
	ok := r.Object(func(name string) bool {
		if name != "instances" || list != nil {
			return false
		}
		list = make([]interlock.Ref, 0, 64)
		return r.Array(func() bool {
			var ref interlock.Ref
			var seen [2]bool
			ok := r.Object(func(name string) (ok bool) {
				which := 0
				switch name {
				case "machine":
					ref.Machine, ok = r.String()
				case "id":
					which = 1
					ref.ID, ok = r.String()
				}
				twice := seen[which]
				seen[which] = true
				return ok && !twice
			})
			list = append(list, ref)
			return ok
		})
	})
	if !ok || !r.End() {
		return false
	}
	l.Instances = list
	return true
}
