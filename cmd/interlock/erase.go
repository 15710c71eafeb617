package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/internal/export"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) auditErase() *cobra.Command {
	var where, tenant, operator, archived string
	var req interlock.EraseRequest
	cmd := &cobra.Command{
		Use:   "erase --store STORE --reason TEXT {--machine NAME --id ID | --actor ACTOR}",
		Short: "Erase notes, forms and facts of the past; rows and chain stay",
		Long: `Erase the texts of an instance's history (--machine, --id), of some of its rows
(--seq), or of one actor everywhere (--actor alone). Who did what and when stays, and
so does what is true now: an instance's facts, an actor's attributes. The chain goes on
holding, and gets a row $erase that says who, why and which rows; verify finds texts
that are missing without one. Backups and the application's own tables are not
touched; archived rows are with --archive, which writes their files anew. SQLite has
one writing process: beside a running server, use POST /v1/audit/erasures.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if operator, err = operatorID(operator); err != nil {
				return err
			}
			switch {
			case req.Machine != "" && req.ID == "":
				return errors.New("--id is missing: --machine and --id name an instance together")
			case req.Machine == "" && (req.ID != "" || len(req.Seqs) > 0 || req.Attempts):
				return errors.New("--machine is missing: --machine and --id name an instance together")
			case req.Machine == "" && req.Actor == "":
				return errors.New("--machine and --id are missing, or --actor, whose texts go everywhere")
			}
			if err := existing(where); err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), where)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			done, rows, err := eraseIn(cmd.Context(), st.Store, archived, interlock.SystemActor(tenant, operator), req)
			if done.Rows > 0 {
				fmt.Fprintf(p.out, "%s: the texts of %d rows in %d chains are erased\n", st.name, done.Rows, done.Chains)
			}
			if rows > 0 {
				fmt.Fprintf(p.out, "%s: %d of them were archived\n", archived, rows)
			}
			var no *interlock.Refusal
			if errors.As(err, &no) && no.Stage != interlock.StageUnavailable {
				return &finding{"refused: " + no.Message}
			}
			if err == nil && done.Rows == 0 {
				fmt.Fprintf(p.out, "%s: there was nothing to erase\n", st.name)
			}
			if err == nil && done.Archived > 0 {
				fmt.Fprintf(p.out, "%s: %d rows are archived and were not looked at: their texts stand in the files of the archive still (--archive)\n", st.name, done.Archived)
			}
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	fl.StringVar(&req.Machine, "machine", "", "machine of the instance; "+interlock.ActorMachine+" for an actor's own history")
	fl.StringVar(&req.ID, "id", "", "the instance")
	fl.Int64SliceVar(&req.Seqs, "seq", nil, "only these rows, such as 3,5")
	fl.StringVar(&req.Actor, "actor", "", "only rows by this actor, or on his behalf")
	fl.BoolVar(&req.Attempts, "attempts", false, "the instance's refused attempts, too")
	fl.StringVar(&req.Reason, "reason", "", "why; history keeps it (required)")
	fl.StringVar(&archived, "archive", "", "folder of archived rows, whose texts go too")
	fl.StringVar(&tenant, "tenant", interlock.DefaultTenant, "tenant of the instance or the actor")
	fl.StringVar(&operator, "operator", "", "who you are; history keeps operator~NAME (default: the account that runs this)")
	cobra.CheckErr(errors.Join(cmd.MarkFlagRequired("store"), cmd.MarkFlagRequired("reason")))
	return cmd
}

// eraseIn erases in the store and, unless it is "", in the folder of an archive,
// and tells of how many rows there.
func eraseIn(ctx context.Context, store interlock.Store, archived string, by interlock.Actor, req interlock.EraseRequest) (done interlock.Erased, rows int64, err error) {
	if archived == "" {
		done, err = interlock.Erase(ctx, store, by, req)
		return done, 0, err
	}
	folder, err := archive.Read(archived)
	if err != nil {
		return done, 0, err
	}
	both, err := folder.Erasing(store)
	if err != nil {
		return done, 0, err
	}
	done, err = interlock.Erase(ctx, both, by, req)
	rows, failed := both.Finish(context.WithoutCancel(ctx)) // what is committed is to be done
	return done, rows, errors.Join(err, failed)
}

func account() (string, error) {
	u, err := user.Current()
	if err != nil || !interlock.ValidID(u.Username) {
		return "", errors.New("the account that runs this has no name that history could keep: give --operator")
	}
	return u.Username, nil
}

func (p *program) auditExport() *cobra.Command {
	var where, format, from, until string
	var q interlock.AuditQuery
	cmd := &cobra.Command{
		Use:   "export --store STORE",
		Short: "Write history and refused attempts as NDJSON or CSV",
		Long: `Write what was committed and, after it, the refused attempts that were kept, one
line each, reading only: beside a running server, too. In CSV a text that a spreadsheet
could take for a formula begins with an apostrophe. A server answers the same searches
at GET /v1/audit.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if format != "ndjson" && format != "csv" {
				return fmt.Errorf("--format %q: want ndjson or csv", format)
			}
			if o := q.Outcome; o != "" && o != interlock.Committed && o != interlock.Refused {
				return fmt.Errorf("--outcome %q: want committed or refused", o)
			}
			if q.From, err = flagTime("from", from); err != nil {
				return err
			}
			if q.Until, err = flagTime("until", until); err != nil {
				return err
			}
			if err := existing(where); err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), where, sqlite.ReadOnly())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			out := bufio.NewWriter(p.out)
			if err := exportAll(cmd.Context(), st.Store, q, format, out); err != nil {
				return err
			}
			return out.Flush()
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	fl.StringVar(&format, "format", "ndjson", "ndjson or csv")
	fl.StringVar(&q.Tenant, "tenant", interlock.DefaultTenant, "tenant whose history it is")
	fl.StringVar(&q.Machine, "machine", "", "only this machine")
	fl.StringVar(&q.ID, "id", "", "only this instance")
	fl.StringVar(&q.Actor, "actor", "", "only what this actor asked for, or on his behalf")
	fl.StringVar(&q.Event, "event", "", "only this event")
	fl.StringVar(&q.Outcome, "outcome", "", "committed or refused (default: both)")
	fl.StringVar(&q.Check, "check", "", "only refusals with this code, or a reason with it")
	fl.StringVar(&from, "from", "", "from this time on, such as 2026-01-31T12:00:00Z")
	fl.StringVar(&until, "until", "", "before this time")
	cobra.CheckErr(cmd.MarkFlagRequired("store"))
	return cmd
}

func flagTime(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return t, fmt.Errorf("--%s %q: want a time like 2026-01-31T12:00:00Z (RFC 3339)", name, value)
	}
	return t.UTC(), nil
}

func exportAll(ctx context.Context, store interlock.Store, q interlock.AuditQuery, format string, out io.Writer) error {
	write := export.NDJSON
	if format == "csv" {
		write = export.CSV
		if err := export.CSVHeader(out); err != nil {
			return err
		}
	}
	q.Limit = interlock.MaxAudit
	for {
		page, err := interlock.Audit(ctx, store, q)
		if err != nil {
			return err
		}
		if err := write(out, export.Rows(page)); err != nil {
			return err
		}
		if q.After = page.Next; page.Next == "" {
			return nil
		}
	}
}
