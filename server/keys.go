package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

const (
	maxKeySet   = 1 << 20
	keyInterval = time.Second // between two looks at the file

	cooldown   = 30 * time.Second // between two fetches for the sake of unknown kids
	unknownFor = 5 * time.Minute  // a kid that wasn't there isn't asked for again
	mostKids   = 256              // that are known to be unknown
)

// keys are one issuer's: given, in a file, or published under a URL.
type keys struct {
	allowed  []string
	log      *slog.Logger
	now      func() time.Time
	maxStale time.Duration

	path  string
	fetch func(context.Context) (published, error) // nil: not by URL
	wake  chan struct{}                            // an unknown kid asks for a fetch
	one   sync.Mutex                               // held while fetching

	mu       sync.Mutex
	known    []verifyKey
	content  [sha256.Size]byte
	revision uint64    // counts what known has been
	purged   bool      // nothing is known until the next load
	purges   int       // counted, so that what was on its way at a purge isn't taken
	looked   time.Time // at the file
	stamp    fileStamp
	asked    time.Time            // when the last fetch began, or was asked for
	fetched  time.Time            // when the last one succeeded
	missing  map[string]time.Time // unknown kids, until when
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// errNoKeys: who asks can't be told. That is no fault of the token.
func errNoKeys(why string) error {
	return &middleware.Problem{Code: codeNoKeys, Stage: interlock.StageUnavailable, Cause: errors.New(why)}
}

func openKeys(ctx context.Context, cfg JWTConfig) (*keys, error) {
	k := &keys{allowed: cfg.Algorithms, log: cfg.Logger, now: time.Now, maxStale: cfg.MaxStale, path: cfg.KeyFile,
		wake: make(chan struct{}, 1), missing: map[string]time.Time{}}
	var err error
	switch {
	case cfg.KeyURL != "":
		if k.fetch, err = fetcher(cfg.KeyURL); err == nil {
			err = k.firstFetch(ctx)
		}
	case cfg.KeyFile != "":
		err = k.load()
	default:
		k.known, err = parseKeys(cfg.KeySet, k.allowed, false)
	}
	if err != nil {
		return nil, err
	}
	if len(k.known) == 0 {
		return nil, errors.New("key set: there is no key in it that can be used")
	}
	return k, nil
}

// find returns the one key that the header names. Without kid there must be only
// one key of the algorithm: trying several would make the choice the sender's.
func (k *keys) find(h header) (any, uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(); err != nil {
		return nil, 0, err
	}
	var found []verifyKey
	knownKid := h.kid == ""
	for _, key := range k.known {
		knownKid = knownKid || key.kid == h.kid
		if key.alg == h.alg && (h.kid == "" || key.kid == h.kid) {
			found = append(found, key)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].key, k.revision, nil
	case h.kid == "" && len(found) > 1:
		return nil, 0, credentialError("the token must say by its kid which key signed it")
	case !knownKid:
		k.askFor(h.kid)
	}
	return nil, 0, credentialError("the token is signed with a key that this server doesn't know for its alg")
}

// current tells under which keys a token must have been verified.
func (k *keys) current() (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(); err != nil {
		return 0, err
	}
	return k.revision, nil
}

func (k *keys) ready() error {
	k.reread()
	switch {
	case k.purged:
		return errNoKeys("the keys were purged, and could not be had anew")
	case k.fetch != nil && k.now().Sub(k.fetched) > k.maxStale:
		return errNoKeys("the key set could not be fetched since " + k.fetched.UTC().Format(time.RFC3339))
	}
	return nil
}

// askFor has the set fetched for a kid that isn't in it, while nobody waits. A
// flood of such kids costs one fetch in a cooldown, and none for those that were
// looked for in vain.
func (k *keys) askFor(kid string) {
	now := k.now()
	if k.fetch == nil || now.Sub(k.asked) < cooldown || now.Before(k.missing[kid]) {
		return
	}
	if len(k.missing) >= mostKids {
		clear(k.missing)
	}
	k.missing[kid] = now.Add(unknownFor)
	k.asked = now
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// purge forgets all keys and has them anew.
func (k *keys) purge(ctx context.Context) error {
	k.mu.Lock()
	k.revision++
	k.purges++
	k.purged = k.fetch != nil || k.path != ""
	k.mu.Unlock()
	switch {
	case k.fetch != nil:
		_, err := k.refetch(ctx)
		return err
	case k.path != "":
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.load()
	}
	return nil
}

// use puts a set in place. What was remembered under another one holds no longer.
func (k *keys) use(known []verifyKey, content [sha256.Size]byte) {
	if k.content != content || k.purged {
		k.revision++
		clear(k.missing)
	}
	k.known, k.content, k.purged = known, content, false
}

// reread reads the file again when it has changed. What can't be used leaves the
// keys that there are: a slip of an editor must not lock everybody out.
func (k *keys) reread() {
	if k.path == "" || k.now().Sub(k.looked) < keyInterval {
		return
	}
	k.looked = k.now()
	info, err := os.Stat(k.path)
	if err == nil && !k.purged && (fileStamp{info.ModTime(), info.Size()}) == k.stamp {
		return
	}
	if err == nil {
		err = k.load()
	}
	if err != nil {
		k.log.Error("key set not reloaded, the former keys stay", "error", err)
	}
}

func (k *keys) load() error {
	file, err := os.Open(k.path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeySet+1))
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if len(data) > maxKeySet {
		return fmt.Errorf("key file %s: larger than 1 MiB", k.path)
	}
	known, err := parseKeys(data, k.allowed, false)
	if err != nil {
		return fmt.Errorf("key file %s: %w", k.path, err)
	}
	if err := secretFile(info, known); err != nil {
		return fmt.Errorf("key file %s: %w", k.path, err)
	}
	k.use(known, sha256.Sum256(data))
	k.stamp, k.looked = fileStamp{info.ModTime(), info.Size()}, k.now()
	return nil
}

// secretFile: a shared secret that everybody on the machine can read is none.
func secretFile(info os.FileInfo, known []verifyKey) error {
	for _, key := range known {
		if _, secret := key.key.([]byte); secret && info.Mode().Perm()&0o004 != 0 {
			return errors.New("it holds a shared secret and everybody may read it: chmod 600")
		}
	}
	return nil
}
