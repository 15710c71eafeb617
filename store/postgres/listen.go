package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Listen calls changed when another process has activated rules or begun an
// epoch, and once at the beginning. It holds a connection of its own beside the
// pool, until ctx or the connection ends. A store on database/sql can't listen:
// nil at once. Behind a pooler that shares connections nothing is heard.
func (s *Store) Listen(ctx context.Context, changed func()) error {
	db, ok := s.db.(*poolDatabase)
	if !ok {
		return nil
	}
	cfg := db.pool.Config()
	if cfg.BeforeConnect != nil {
		if err := cfg.BeforeConnect(ctx, cfg.ConnConfig); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for changed(); ; {
		told, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if strings.HasPrefix(told.Payload, s.schema+" ") {
			changed()
		}
	}
}
