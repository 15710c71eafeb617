package compiled

import (
	"cmp"
	"math"
	"math/bits"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Numbers are what they were written as: an integer that fits 64 bits and is
// written in the usual way is kept as such, anything else as its own text, to
// be compared and calculated with by OPA's exact arithmetic.
type (
	integer struct{ n int64 }
	decimal struct{ text string }
)

func (*integer) Kind() Kind { return Number }
func (*decimal) Kind() Kind { return Number }

// Integers from -128 to 1023 are there already.
const lowest, highest = -128, 1023

var smallIntegers = func() (all [highest - lowest + 1]Value) {
	for i := range all {
		all[i] = &integer{int64(i + lowest)}
	}
	return all
}()

// numberOf keeps the text where it isn't the one usual form of an integer.
func numberOf(a *arena, text string) Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) <= 20 && strconv.FormatInt(n, 10) == text {
		return a.integer(n)
	}
	return a.decimal(text)
}

func numberText(v Value) ast.Number {
	switch v := v.(type) {
	case *integer:
		return ast.Number(strconv.FormatInt(v.n, 10))
	case *decimal:
		return ast.Number(v.text)
	}
	return ""
}

func compareNumbers(a, b Value) int {
	if a, ok := a.(*integer); ok {
		if b, ok := b.(*integer); ok {
			return cmp.Compare(a.n, b.n)
		}
	}
	return ast.NumberCompare(numberText(a), numberText(b))
}

// Equal numbers have the same hash, however they are written: 1, 1.0 and 10e-1.
func (i *integer) hash() uint64 { return hashFloat(float64(i.n)) }

func (d *decimal) hash() uint64 {
	f, _ := strconv.ParseFloat(d.text, 64) // out of range is ±Inf, which will do
	return hashFloat(f)
}

func hashFloat(f float64) uint64 {
	if f == 0 {
		f = 0 // there is a negative one
	}
	return mix(uint64(Number), math.Float64bits(f))
}

// index is the position that a key of an array means: 1 and 1.0 are the same.
func index(v Value) (int64, bool) {
	switch v := v.(type) {
	case *integer:
		return v.n, true
	case *decimal:
		return ast.Number(v.text).Int64()
	}
	return 0, false
}

// add, subtract and multiply say false where the result doesn't fit.

func add(x, y int64) (int64, bool) {
	sum := x + y
	return sum, (x^sum)&(y^sum) >= 0
}

func subtract(x, y int64) (int64, bool) {
	d := x - y
	return d, (x^y)&(x^d) >= 0
}

func multiply(x, y int64) (int64, bool) {
	if x == math.MinInt64 || y == math.MinInt64 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(max(x, -x)), uint64(max(y, -y)))
	return x * y, hi == 0 && lo <= math.MaxInt64
}
