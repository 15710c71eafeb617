package faults

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/testservice"
)

// Full: the file of the history can't grow, as on a disk without room.
func postgresFull(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	p.prove("postgres/full", 900, p.failing("ENOSPC"))
}

// failing lets the server's processes fail to write new pages of history and texts.
func (p *pgWorld) failing(errno string) fault {
	pids, paths := []int{}, []string{}
	f := fault{}
	f.begin = func() error {
		rows, err := p.db.Query(`SELECT pid FROM pg_stat_activity UNION SELECT CAST(split_part(pg_read_file('postmaster.pid'), E'\n', 1) AS int)`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var pid int
			if err := rows.Scan(&pid); err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		for _, table := range []string{"history", "texts", "outbox"} {
			var path string
			err := p.db.QueryRow(`SELECT current_setting('data_directory') || '/' || pg_relation_filepath('interlock.' || $1)`, table).Scan(&path)
			if err != nil {
				return err
			}
			paths = append(paths, path)
		}
		inner := injected(p.t, pids, paths, "pwrite64,pwritev,pwritev2,fallocate", errno)
		f.end = inner.end
		return errors.Join(rows.Err(), inner.begin())
	}
	return fault{f.begin, func() error { return f.end() }}
}

// ReadOnly: the server comes back as a standby, which reads and doesn't write, and
// is promoted later: a failover under load.
func postgresReadOnly(t *testing.T, server *testservice.PostgresServer) {
	t.Helper()
	p := newPostgresWorld(t, server, nil)
	p.proveWith("postgres/read-only", 900, fault{
		begin: func() error {
			var dir string
			if err := p.db.QueryRow(`SHOW data_directory`).Scan(&dir); err != nil {
				return err
			}
			server.Stop()
			if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o644); err != nil {
				return err
			}
			info, err := os.Stat(dir)
			if err != nil {
				return err
			}
			owner := info.Sys().(*syscall.Stat_t)
			if err := os.Chown(filepath.Join(dir, "standby.signal"), int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
			server.Restart()
			return nil
		},
		end: func() error { return p.exec(`SELECT pg_promote()`) },
	}, func(pl *load.Plan) { pl.Unavailable, pl.ReadsGoOn = true, true })
}
