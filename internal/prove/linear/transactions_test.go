package linear_test

import (
	"fmt"

	"github.com/interlock-go/interlock/internal/prove/anomaly"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/prove/replayer"
)

const actorMachine = "interlock:actor"

// transactions are all that was committed, and all that was read of instance and
// actor at once, with the versions that each saw and made. What a row saw of
// its actor its own bytes tell; when it was asked for and answered, the recording.
func transactions(rows []replayer.Commit, rec *fixture.Recording) []anomaly.Txn {
	asked := map[string]*fixture.Op{} // by the transition's id
	for i := range rec.Ops {
		if op := &rec.Ops[i]; op.Outcome == fixture.Done && op.Transition.ID != "" {
			asked[op.Transition.ID] = op
		}
	}
	var txns []anomaly.Txn
	at := map[string]int{} // by request: an actor's first commit is of the event's transaction
	for _, row := range rows {
		if row.Machine == actorMachine {
			continue
		}
		txn := anomaly.Txn{Name: fmt.Sprintf("%s:%d %s by %s", row.Instance, row.Seq, row.Event, row.Actor),
			Reads: map[string]int64{actorMachine + "/" + row.Actor: row.Saw}, Writes: map[string]int64{row.Instance: row.Seq}}
		timed(&txn, asked[row.ID])
		at[row.Request] = len(txns)
		txns = append(txns, txn)
	}
	for _, row := range rows {
		if row.Machine != actorMachine {
			continue
		}
		key := actorMachine + "/" + row.Instance
		if n, ok := at[row.Request]; ok && row.Event == "$join" {
			delete(txns[n].Reads, key)
			txns[n].Writes[key] = row.Seq
			continue
		}
		txns = append(txns, anomaly.Txn{Name: fmt.Sprintf("%s:%d %s", row.Instance, row.Seq, row.Event), Writes: map[string]int64{key: row.Seq}})
	}
	return append(txns, readings(rec)...)
}

// readings are what clients were told of a guest's row, besides: who grants or
// revokes is told the version that it has then, whoever made it.
func readings(rec *fixture.Recording) []anomaly.Txn {
	var txns []anomaly.Txn
	for i := range rec.Ops {
		op := &rec.Ops[i]
		guest := actorMachine + "/" + fixture.Guest(op.Instance).ID
		txn := anomaly.Txn{Name: op.Kind + " of " + op.Instance, Reads: map[string]int64{guest: 0}}
		switch {
		case op.Outcome != fixture.Done:
			continue
		case op.Kind == "look":
			txn.Reads[op.Instance] = 0
			if op.Seen != nil {
				txn.Reads[op.Instance] = op.Seen.Version
			}
		case op.Kind != "grant" && op.Kind != "revoke":
			continue
		}
		if op.Record != nil {
			txn.Reads[guest] = op.Record.Version
		}
		timed(&txn, op)
		txns = append(txns, txn)
	}
	return txns
}

func timed(txn *anomaly.Txn, op *fixture.Op) {
	if op != nil {
		txn.Begun, txn.Ended = int64(op.Start), int64(op.End)
	}
}
