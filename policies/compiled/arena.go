package compiled

// arena is where an evaluation's values are made. Once it is over they go all
// at once, so that the next one starts without asking the heap for anything. A
// nil arena is the heap: what it makes stays.
type arena struct {
	integers slab[integer]
	decimals slab[decimal]
	texts    slab[text]
	arrays   slab[array]
	objects  slab[object]
	sets     slab[set]
	lists    slab[Value]
	resets   int
}

const (
	slabSize   = 64  // values in a chunk
	keptChunks = 256 // that a pooled arena keeps of a kind
	longList   = slabSize / 2
)

// slab hands out memory from chunks.
type slab[T any] struct {
	chunks [][]T
	chunk  int // that is being used
	used   int // of it
}

func (s *slab[T]) one() *T { return &s.some(1)[0] }

func (s *slab[T]) some(n int) []T {
	if len(s.chunks) == 0 {
		s.chunks = append(s.chunks, make([]T, slabSize))
	}
	if s.used+n > slabSize {
		s.chunk++
		s.used = 0
		if s.chunk == len(s.chunks) {
			s.chunks = append(s.chunks, make([]T, slabSize))
		}
	}
	from := s.used
	s.used += n
	return s.chunks[s.chunk][from:s.used:s.used]
}

func (s *slab[T]) reset() {
	for i := 0; i < s.chunk; i++ {
		clear(s.chunks[i])
	}
	if s.chunk < len(s.chunks) {
		clear(s.chunks[s.chunk][:s.used])
	}
	if len(s.chunks) > keptChunks {
		s.chunks = append([][]T(nil), s.chunks[:keptChunks]...)
	}
	s.chunk, s.used = 0, 0
}

func (a *arena) reset() {
	a.integers.reset()
	a.decimals.reset()
	a.texts.reset()
	a.arrays.reset()
	a.objects.reset()
	a.sets.reset()
	a.lists.reset()
	a.resets++
}

// chunks are how many are full.
func (a *arena) chunks() int {
	return a.integers.chunk + a.decimals.chunk + a.texts.chunk + a.arrays.chunk + a.objects.chunk + a.sets.chunk + a.lists.chunk
}

func (a *arena) integer(n int64) Value {
	if n >= lowest && n <= highest {
		return smallIntegers[n-lowest]
	}
	if a == nil {
		return &integer{n}
	}
	i := a.integers.one()
	i.n = n
	return i
}

func (a *arena) decimal(s string) Value {
	if a == nil {
		return &decimal{s}
	}
	d := a.decimals.one()
	d.text = s
	return d
}

func (a *arena) text(s string) Value {
	if a == nil {
		return &text{s: s}
	}
	t := a.texts.one()
	t.s = s
	return t
}

func (a *arena) array(items []Value) *array {
	if a == nil {
		return &array{items: items, weight: weightOfAll(items)}
	}
	r := a.arrays.one()
	r.items, r.weight = items, weightOfAll(items)
	return r
}

func (a *arena) object() *object {
	if a == nil {
		return &object{}
	}
	return a.objects.one()
}

func (a *arena) set() *set {
	if a == nil {
		return &set{}
	}
	return a.sets.one()
}

// list is an empty list with room for n.
func (a *arena) list(n int) []Value {
	switch {
	case n == 0:
		return nil
	case a == nil || n > longList:
		return make([]Value, 0, n)
	}
	return a.lists.some(n)[:0]
}

// grow appends.
func (a *arena) grow(list []Value, v Value) []Value {
	if len(list) == cap(list) {
		bigger := a.list(max(4, 2*len(list)))
		list = append(bigger, list...)
	}
	return append(list, v)
}

func (a *arena) clone(list []Value) []Value {
	return append(a.list(len(list)+1), list...)
}
