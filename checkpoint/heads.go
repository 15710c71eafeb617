package checkpoint

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/interlock-go/interlock"
)

// A leaf is a domain tag and the length-prefixed fields of a mark; the file of
// heads holds the fields alone, leaf after leaf.
const tagHead = "interlock/head/v1"

// maxField bounds what a file of heads can make us read: names and ids are shorter.
const maxField = 4096

func appendField(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

func encodeHead(m interlock.Mark) []byte {
	var b []byte
	for _, s := range []string{m.Tenant, m.Machine, m.ID} {
		b = appendField(b, []byte(s))
	}
	b = appendField(b, binary.BigEndian.AppendUint64(nil, uint64(m.Version)))
	return appendField(b, m.Hash)
}

func leaf(encoded []byte) []byte { return append(appendField(nil, []byte(tagHead)), encoded...) }

func compareMarks(a, b interlock.Mark) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Machine, b.Machine), cmp.Compare(a.ID, b.ID))
}

// readHeads yields the marks of a file of heads; what isn't one, or is out of
// order, is an error.
func readHeads(r io.Reader) iter.Seq2[interlock.Mark, error] {
	return func(yield func(interlock.Mark, error) bool) {
		in := bufio.NewReader(r)
		var last *interlock.Mark
		for n := int64(0); ; n++ {
			m, err := readHead(in)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && last != nil && compareMarks(*last, m) >= 0 {
				err = errors.New("out of order")
			}
			if err != nil {
				yield(interlock.Mark{}, fmt.Errorf("head %d: %w", n, err))
				return
			}
			if !yield(m, nil) {
				return
			}
			last = &m
		}
	}
}

// readHead's io.EOF is the end between two heads.
func readHead(in *bufio.Reader) (interlock.Mark, error) {
	var fields [5][]byte
	for i := range fields {
		var length [4]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			if i == 0 && errors.Is(err, io.EOF) {
				return interlock.Mark{}, io.EOF
			}
			return interlock.Mark{}, errors.New("cut off")
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > maxField {
			return interlock.Mark{}, fmt.Errorf("a field of %d bytes, at most %d", n, maxField)
		}
		fields[i] = make([]byte, n)
		if _, err := io.ReadFull(in, fields[i]); err != nil {
			return interlock.Mark{}, errors.New("cut off")
		}
	}
	if len(fields[3]) != 8 {
		return interlock.Mark{}, errors.New("a version that isn't 8 bytes long")
	}
	version := int64(binary.BigEndian.Uint64(fields[3]))
	if version < 1 {
		return interlock.Mark{}, fmt.Errorf("version %d", version)
	}
	return interlock.Mark{Tenant: string(fields[0]), Machine: string(fields[1]), ID: string(fields[2]), Version: version, Hash: fields[4]}, nil
}

// marksOf reads a file of heads when it is asked for.
func marksOf(path string) iter.Seq2[interlock.Mark, error] {
	return func(yield func(interlock.Mark, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(interlock.Mark{}, err)
			return
		}
		defer f.Close()
		for m, err := range readHeads(f) {
			if !yield(m, err) {
				return
			}
		}
	}
}
