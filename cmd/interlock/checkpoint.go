package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/checkpoint"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) auditKeygen() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use:   "keygen --name NAME --out FILE",
		Short: "Make a key that signs checkpoints",
		Long: `Make an Ed25519 key: the private half in a new file that only its owner may
read, the public half beside it (.pub) and on the standard output. Verifiers need the
public half, from somebody other than the database.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			public, err := checkpoint.GenerateKey(name, out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.out, public)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the checkpoints' origin, one word such as example.org/loans (required)")
	cmd.Flags().StringVar(&out, "out", "", "file of the private key (required)")
	cobra.CheckErr(errors.Join(cmd.MarkFlagRequired("name"), cmd.MarkFlagRequired("out")))
	return cmd
}

func (p *program) auditCheckpoint() *cobra.Command {
	var where, key, out, post string
	cmd := &cobra.Command{
		Use:   "checkpoint --store STORE --key FILE --out DIR",
		Short: "Sign where every chain of history stands",
		Long: `Sign where every chain of history stands, at one moment, while others write: a
note (a Merkle root over the newest row of every chain, Ed25519) and the list of those
rows, added to a folder in which nothing is ever overwritten. Keep it where those who
write to the database can't. "interlock audit verify --checkpoint" holds history
against it later; "serve" takes checkpoints by itself (configuration: checkpoints).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := existing(where); err != nil {
				return err
			}
			if post != "" {
				if err := checkpoint.CheckURL(post); err != nil {
					return err
				}
			}
			signer, err := checkpoint.ReadSigner(key)
			if err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), where, sqlite.ReadOnly())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			t, err := checkpoint.Take(cmd.Context(), st.Store, signer, out)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(p.out, "%s: checkpoint %d of %d rows in %d chains\n%s", t.Path, t.Number, t.Rows, t.Size, t.Note); err != nil || post == "" {
				return err
			}
			return checkpoint.Post(cmd.Context(), post, t.Note)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	fl.StringVar(&key, "key", "", "file of the private key (required)")
	fl.StringVar(&out, "out", "", "folder of the checkpoints (required)")
	fl.StringVar(&post, "post", "", "https address that the note is posted to as well")
	cobra.CheckErr(errors.Join(cmd.MarkFlagRequired("store"), cmd.MarkFlagRequired("key"), cmd.MarkFlagRequired("out")))
	return cmd
}

func (c *checkpointConfig) check() (wrong []error) {
	if c.Dir == "" {
		if c.Key != "" || c.URL != "" {
			wrong = append(wrong, errors.New("checkpoints.dir is missing: set it in the file or as INTERLOCK_CHECKPOINTS_DIR"))
		}
		return wrong
	}
	if c.Key == "" {
		wrong = append(wrong, errors.New("checkpoints.key is missing: make one with interlock audit keygen, and set it in the file or as INTERLOCK_CHECKPOINTS_KEY"))
	} else if _, err := checkpoint.ReadSigner(c.Key); err != nil {
		wrong = append(wrong, fmt.Errorf("checkpoints.key: %w", err))
	}
	if c.Every < time.Minute {
		wrong = append(wrong, fmt.Errorf("checkpoints.every %s: want 1m or more", c.Every))
	}
	if c.URL != "" {
		if err := checkpoint.CheckURL(c.URL); err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}

// open is nil where none are asked for. A key that others may read ends the start.
func (c *checkpointConfig) open() (*checkpoints, error) {
	if c.Dir == "" {
		return nil, nil
	}
	signer, err := checkpoint.ReadSigner(c.Key)
	if err != nil {
		return nil, err
	}
	return &checkpoints{key: signer, dir: c.Dir, url: c.URL, every: c.Every}, nil
}

// checkpoints are taken beside a server.
type checkpoints struct {
	key      note.Signer
	dir, url string
	every    time.Duration
	unposted [][]byte // oldest first
}

// mostUnposted bounds what is kept in memory for a receiver that is away.
const mostUnposted = 100

// notes reads what was written; nil where none are taken.
func (c *checkpoints) notes() func(context.Context) ([]string, error) {
	if c == nil {
		return nil
	}
	return func(context.Context) ([]string, error) { return checkpoint.Notes(c.dir) }
}

// run takes one at the start and then at each interval. What fails is told and
// tried again at the next.
func (c *checkpoints) run(ctx context.Context, store interlock.Store, metrics *server.Metrics, log *slog.Logger) error {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		taken, err := c.take(ctx, store)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		metrics.Checkpoint(taken, err)
		if err != nil {
			log.ErrorContext(ctx, "interlock: no checkpoint of history", "alarm", "checkpoint_failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (c *checkpoints) take(ctx context.Context, store interlock.Store) (time.Time, error) {
	t, err := checkpoint.Take(ctx, store, c.key, c.dir)
	if err != nil || c.url == "" {
		return t.Time, err
	}
	c.unposted = append(c.unposted, t.Note)
	c.unposted = c.unposted[max(0, len(c.unposted)-mostUnposted):]
	for len(c.unposted) > 0 {
		if err := checkpoint.Post(ctx, c.url, c.unposted[0]); err != nil {
			return t.Time, err
		}
		c.unposted = c.unposted[1:]
	}
	return t.Time, nil
}
