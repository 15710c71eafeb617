package faults

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// injected lets the system calls of the processes, on the given paths (none: any),
// fail with errno, as a disk that is full, read-only or broken does. The processes
// are watched by strace (Debian: apt-get install strace).
func injected(t *testing.T, pids []int, paths []string, calls, errno string) fault {
	t.Helper()
	args := []string{"-f", "-o", os.DevNull, "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=" + errno}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	return fault{
		begin: func() error {
			if err := cmd.Start(); err != nil {
				return fmt.Errorf("strace, which lets a disk fail, can't be started (Debian: apt-get install strace): %w", err)
			}
			lines := bufio.NewReader(out)
			for attached := 0; attached < len(pids); {
				line, err := lines.ReadString('\n')
				if err != nil {
					return fmt.Errorf("strace: %s: %w", line, err)
				}
				switch {
				case strings.Contains(line, " attached"), strings.Contains(line, "No such process"): // it ended meanwhile
					attached++
				case !strings.Contains(line, "Requested path") && !strings.Contains(line, "resolved into"):
					return fmt.Errorf("strace: %s", line)
				}
			}
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return nil
		},
		end: func() error {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				return err
			}
			_ = cmd.Wait() // it ends by the signal
			return nil
		},
	}
}
