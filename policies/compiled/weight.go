package compiled

// weight is how many values one holds, those within each other included, and those
// that are the same as often as they are held: what it takes to go through it,
// however little memory it takes. More than heaviest is all the same.
type weight uint32

// What an evaluation may make, and hand to a function of OPA's. x := [y, y],
// y := [z, z] … gets to the heaviest in 22 lines, and forty would take hours to compare.
const (
	heaviest     weight = 1 << 22
	heaviestKeys weight = 1 << 20 // of a set or of composite keys, which are hashed and sorted in one step
	heaviestTerm weight = 1 << 17 // to be written out, with what is the same as often as it is held
)

var errHeavy = &NotCompiledError{Construct: "a value that holds more others than can be gone through in one step"}

func weightOf(v Value) weight {
	switch v := v.(type) {
	case *array:
		return 1 + v.weight
	case *object:
		return 1 + v.weight
	case *set:
		return 1 + v.weight
	}
	return 1
}

func (w weight) plus(more weight) weight { return min(w+more, heaviest+1) }

func weightOfAll(list []Value) (w weight) {
	for _, v := range list {
		w = w.plus(weightOf(v))
	}
	return w
}

// add tells whether it may be. Scalars always may: that many take as many steps to make.
func (w *weight) add(v Value) bool {
	*w = w.plus(weightOf(v))
	return *w <= heaviest || v.Kind() < Array
}

// addKey is add for what is hashed.
func (w *weight) addKey(v Value) bool {
	*w = w.plus(weightOf(v))
	return *w <= heaviestKeys || v.Kind() < Array
}

// weigh counts what a comparison may go through.
func (m *Machine) weigh(a, b Value) {
	if _, scalar := a.(*text); !scalar && a.Kind() >= Array && b.Kind() == a.Kind() {
		m.work(int(min(weightOf(a), weightOf(b))))
	}
}

// weighKey counts what it takes to look for a key.
func (m *Machine) weighKey(key Value) {
	if _, scalar := key.(*text); !scalar && key.Kind() >= Array {
		m.work(int(weightOf(key)))
	}
}

// weighOrder counts what it takes to put keys in Rego's order.
func (m *Machine) weighOrder(k *keys) {
	if !k.ascending && k.sorted == nil {
		m.work(int(k.weight))
	}
}

// writable tells whether a function of OPA's may be given the values. What was made
// of OPA's is there already.
func writable(args []Value) bool {
	var w weight
	for _, v := range args {
		switch from := v.(type) {
		case *object:
			if from.origin != nil {
				continue
			}
		case *set:
			if from.origin != nil {
				continue
			}
		}
		w = w.plus(weightOf(v))
	}
	return w <= heaviestTerm
}
