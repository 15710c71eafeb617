package checkpoint

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is what a signed note says.
type Checkpoint struct {
	Origin   string            // who signs: the name of the key
	Size     int64             // chains
	Root     [sha256.Size]byte // over their heads
	Number   int64             // 1, 2, 3 …
	Epoch    string            // of the store
	Rows     int64             // in all chains
	Time     time.Time         // of the signer's clock, in whole µs
	Previous string            // base64 of the SHA-256 of the note before; "" in the first
}

const timeForm = "2006-01-02T15:04:05.000000Z"

// text is the part that is signed: the three lines of a C2SP checkpoint, then ours.
func (c *Checkpoint) text() string {
	previous := c.Previous
	if previous == "" {
		previous = "none"
	}
	return fmt.Sprintf("%s\n%d\n%s\nnumber %d\nepoch %s\nrows %d\ntime %s\nprevious %s\n",
		c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), c.Number, c.Epoch, c.Rows, c.Time.UTC().Format(timeForm), previous)
}

// parse reads exactly what text writes.
func parse(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) != 9 || lines[8] != "" {
		return c, fmt.Errorf("%d lines, want 8", len(lines)-1)
	}
	c.Origin = lines[0]
	var rest [5]string
	for i, key := range []string{"number ", "epoch ", "rows ", "time ", "previous "} {
		value, ok := strings.CutPrefix(lines[3+i], key)
		if !ok {
			return c, fmt.Errorf("line %d doesn't begin with %q", 4+i, key)
		}
		rest[i] = value
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return c, errors.New("the root isn't the base64 of 32 bytes")
	}
	copy(c.Root[:], root)
	for _, n := range []struct {
		text string
		into *int64
	}{{lines[1], &c.Size}, {rest[0], &c.Number}, {rest[2], &c.Rows}} {
		if *n.into, err = strconv.ParseInt(n.text, 10, 64); err != nil || *n.into < 0 {
			return c, fmt.Errorf("%.20q is no number", n.text)
		}
	}
	if c.Time, err = time.Parse(timeForm, rest[3]); err != nil {
		return c, errors.New("the time can't be read")
	}
	c.Epoch, c.Previous = rest[1], rest[4]
	if c.Previous == "none" {
		c.Previous = ""
	}
	if c.text() != text { // such as +1 or 01
		return c, errors.New("it isn't written as a checkpoint is")
	}
	return c, nil
}

// Open checks the signature of a note and reads it.
func Open(signed []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	var unsigned *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unsigned):
		return Checkpoint{}, fmt.Errorf("it isn't signed with the key %s", key.Name())
	case err != nil:
		return Checkpoint{}, err
	}
	c, err := parse(n.Text)
	if err == nil && c.Origin != key.Name() {
		err = fmt.Errorf("its origin is %q, its key is %s", c.Origin, key.Name())
	}
	return c, err
}

// digest is how the next checkpoint names this note.
func digest(signed []byte) string {
	sum := sha256.Sum256(signed)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// headsName is the file of heads that belongs to the checkpoint.
func (c *Checkpoint) headsName() string { return fmt.Sprintf("%08d-%x.heads", c.Number, c.Root[:8]) }

func (c *Checkpoint) noteName() string { return fmt.Sprintf("%08d.checkpoint", c.Number) }
