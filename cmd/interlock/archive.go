package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
)

func (p *program) auditArchive() *cobra.Command {
	var where, operator, before, out string
	var req interlock.ArchiveRequest
	cmd := &cobra.Command{
		Use:   "archive --store STORE --before AGE --out DIR",
		Short: "Move old rows of history into files; chains go on holding",
		Long: `Move the oldest rows of history out of the database, into files that are added to a
folder: one row a line, with all that was hashed. Instances, actors and the newest rows
of each chain stay. Rows leave only when their file is on the disk, and each chain gets
a row $archive that says up to which row, in which file, with its SHA-256; verify finds
rows that are missing without one, and with --archive it looks at whole chains. An
interrupted run leaves nothing half done: run it again.
It may run beside a server on PostgreSQL, as a role that may delete from history (the
one that migrates). SQLite has one writing process: end the server first.
In the files stand notes, forms and facts: keep them like the database.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if operator, err = operatorID(operator); err != nil {
				return err
			}
			if req.Before, err = ageOrTime(before, time.Now()); err != nil {
				return err
			}
			if err := existing(where); err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), where)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			if m, ok := st.Store.(interface{ Migrate(context.Context) error }); ok {
				if err := m.Migrate(cmd.Context()); err != nil { // an older schema lets no row go
					return err
				}
			}
			bar := p.progress("rows archived")
			rows := int64(0)
			done, err := interlock.Archive(cmd.Context(), st.Store, interlock.SystemActor("", operator), req, func(list []interlock.Record) (interlock.ArchiveFile, error) {
				rows += int64(len(list))
				bar.set(rows)
				return archive.Write(out, list)
			})
			bar.end()
			if done.Rows > 0 {
				fmt.Fprintf(p.out, "%s: %d rows of %d chains are in %s: %d files, %d bytes\n", st.name, done.Rows, done.Chains, out, done.Files, done.Bytes)
			}
			var no *interlock.Refusal
			if errors.As(err, &no) && no.Stage != interlock.StageUnavailable {
				return &finding{"refused: " + no.Message}
			}
			if err == nil && done.Rows == 0 {
				fmt.Fprintf(p.out, "%s: there was nothing to archive. Rows leave that are older than --before by their own time and by the database's clock\n"+
					"(what was replayed or imported is as young there as the import); the newest of each chain (--keep) stay, and so does a single old row\n", st.name)
				return archive.Make(out) // so that verify --archive finds it
			}
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	fl.StringVar(&before, "before", "", "rows that are older: an age like 90d or 2160h, or a time like 2026-01-31T12:00:00Z; at least 48h (required)")
	fl.StringVar(&out, "out", "", "folder of the archive (required)")
	fl.StringVar(&req.Tenant, "tenant", "", "only this tenant (default: all)")
	fl.StringVar(&req.Machine, "machine", "", "only this machine; "+interlock.ActorMachine+" for the history of actors")
	fl.StringVar(&req.ID, "id", "", "only this instance")
	fl.IntVar(&req.Keep, "keep", 1, "newest rows of each chain that stay, however old")
	fl.StringVar(&req.Reason, "reason", "", "why; history keeps it for good: nothing personal")
	fl.StringVar(&operator, "operator", "", "who you are; history keeps operator~NAME (default: the account that runs this)")
	cobra.CheckErr(errors.Join(cmd.MarkFlagRequired("store"), cmd.MarkFlagRequired("before"), cmd.MarkFlagRequired("out")))
	return cmd
}

// operatorID is who history says it was; no identity claims such an id:
// interlock.IsReservedActor.
func operatorID(name string) (string, error) {
	if name == "" {
		var err error
		if name, err = account(); err != nil {
			return "", err
		}
	}
	id := "operator~" + name
	if !interlock.ValidID(id) {
		return "", fmt.Errorf("--operator: history can't keep %q: want [A-Za-z0-9._~-], 119 characters at most", id)
	}
	return id, nil
}

// ageOrTime reads 90d, 2160h or a time.
func ageOrTime(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)).UTC(), nil
		}
	}
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return now.Add(-age).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("--before %q: want an age like 90d or 2160h, or a time like 2026-01-31T12:00:00Z (RFC 3339)", text)
}
