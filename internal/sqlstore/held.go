package sqlstore

import (
	"bytes"

	"github.com/interlock-go/interlock"
)

// Held is what commits that share a transaction have been told of the rows that
// they rest on. Nobody else can change those before it ends. It is forgotten when
// the transaction may have changed them itself: by a commit that writes actors, and
// by whatever isn't a commit. Only a yes is held, and none that time can end. The
// zero value holds nothing yet, nil never anything.
type Held struct {
	epoch  string
	rules  map[[2]string]bool // by machine and id, of active ones
	actors map[[2]string]interlock.ActorCheck
}

// Sharing is a Conn whose transaction several commits share.
type Sharing interface {
	Held() *Held
}

// heldBy is nil for a transaction of one's own.
func heldBy(tx Conn) *Held {
	if s, ok := tx.(Sharing); ok {
		return s.Held()
	}
	return nil
}

// Forget is told that anything may have changed.
func (h *Held) Forget() {
	if h != nil {
		*h = Held{}
	}
}

func (h *Held) hasEpoch(epoch string) bool { return h != nil && epoch != "" && h.epoch == epoch }

func (h *Held) holdEpoch(epoch string) {
	if h != nil {
		h.epoch = epoch
	}
}

func (h *Held) hasRules(r interlock.Revision) bool {
	return h != nil && h.rules[[2]string{r.Machine, r.ID}]
}

func (h *Held) holdRules(r interlock.Revision) {
	if h == nil {
		return
	}
	if h.rules == nil {
		h.rules = map[[2]string]bool{}
	}
	h.rules[[2]string{r.Machine, r.ID}] = true
}

func (h *Held) hasActor(tenant string, k *interlock.ActorCheck) bool {
	if h == nil {
		return false
	}
	held, ok := h.actors[[2]string{tenant, k.ID}]
	return ok && held.Version == k.Version && bytes.Equal(held.Digest, k.Digest)
}

func (h *Held) holdActor(tenant string, k *interlock.ActorCheck) {
	if h == nil {
		return
	}
	if h.actors == nil {
		h.actors = map[[2]string]interlock.ActorCheck{}
	}
	h.actors[[2]string{tenant, k.ID}] = *k
}
