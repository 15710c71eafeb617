//go:build unix

package testservice

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watchdog ends a server whose owner has died without stopping it (killed,
// timed out, os.Exit). It waits at a pipe that the kernel closes when the owner
// is gone, and needs no polling, no thread that stays alive and no Linux. A line
// in the pipe says that the server was stopped in good order.
const watchdog = `
read -r word && exit 0
kill -s "$2" "$1"; kill -s CONT "$1"
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.5; done
kill -s KILL "$1"
rm -rf "$3"
`

// account is the user that a server runs as; nil means ourselves.
type account struct{ credential *syscall.Credential }

func ourselves() (*account, error) { return nil, nil }

// unprivileged is an account for servers that refuse to run as root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("we are root, PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")
}

func (a *account) takes(dir string) error {
	if a == nil {
		return nil
	}
	return os.Chown(dir, int(a.credential.Uid), int(a.credential.Gid))
}

// command builds a command that runs in dir as the account, in a process group
// of its own: an interrupt from the terminal is for the tests, which end the
// server afterwards.
func (a *account) command(dir string, argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = a.credential
	}
	return cmd
}

type process struct {
	server *exec.Cmd
	watch  *exec.Cmd
	leash  *os.File
}

// startProcess starts argv under a watchdog. No goroutine stays behind, so
// that tests may look for leaked ones.
func startProcess(argv []string, dir, log string, as *account, signal string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	server := as.command(dir, argv...)
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		return nil, err
	}
	p := &process{server: server}
	if err := p.watchOver(dir, as, signal); err != nil {
		return nil, errors.Join(err, server.Process.Kill(), server.Wait())
	}
	return p, nil
}

func (p *process) watchOver(dir string, as *account, signal string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	p.watch = as.command("/", "/bin/sh", "-c", watchdog, "watchdog", strconv.Itoa(p.pid()), signal, dir)
	p.watch.Stdin, p.leash = r, w
	if err := p.watch.Start(); err != nil {
		return errors.Join(err, w.Close())
	}
	return nil
}

func (p *process) pid() int { return p.server.Process.Pid }

// stop sends the signal, waits for the end and dismisses the watchdog.
func (p *process) stop(signal string) error {
	sig, ok := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "QUIT": syscall.SIGQUIT}[signal]
	if !ok {
		return fmt.Errorf("signal %s is none that ends a server here", signal)
	}
	_ = p.server.Process.Signal(sig) // already gone: what we want
	_ = p.resume()                   // a stalled process heeds nothing but KILL
	deadline := time.AfterFunc(30*time.Second, func() { _ = p.server.Process.Kill() })
	defer deadline.Stop()
	_ = p.server.Wait() // its exit status tells how we stopped it
	return p.dismiss()
}

func (p *process) dismiss() error {
	_, err := p.leash.WriteString("stopped\n")
	return errors.Join(err, p.leash.Close(), p.watch.Wait())
}

// exited tells whether the server has ended by itself, and if so cleans up.
func (p *process) exited() bool {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.pid(), &status, syscall.WNOHANG, nil)
	if err == nil && pid == 0 {
		return false
	}
	_ = p.dismiss()
	_ = p.server.Process.Release()
	return true
}

// stall freezes the server's first process before its children, so that none
// is born meanwhile.
func (p *process) stall() error {
	if err := syscall.Kill(p.pid(), syscall.SIGSTOP); err != nil {
		return err
	}
	return p.signalChildren(syscall.SIGSTOP)
}

func (p *process) resume() error {
	return errors.Join(p.signalChildren(syscall.SIGCONT), syscall.Kill(p.pid(), syscall.SIGCONT))
}

// signalChildren reaches the processes of a server that has one for each
// connection.
func (p *process) signalChildren(sig syscall.Signal) error {
	out, err := children(p.pid())
	if err != nil {
		return fmt.Errorf("list its processes: %w", err)
	}
	for _, field := range strings.Fields(out) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		if err := syscall.Kill(child, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// children asks the kernel where that is Linux, else pgrep.
func children(pid int) (string, error) {
	if out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)); err == nil {
		return string(out), nil
	}
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 { // it has none
		return "", nil
	}
	return string(out), err
}

// findBinary looks in PATH and in the folders where distributions keep the
// server programs that they don't put there; of several versions it takes the
// newest.
func findBinary(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	best, bestVersion := "", -1.0
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/pgsql-*/bin/", "/opt/homebrew/opt/postgresql@*/bin/", "/usr/local/pgsql/bin/"} {
		paths, _ := filepath.Glob(pattern + name) // the patterns are ours and well formed
		for _, path := range paths {
			dir := filepath.Base(filepath.Dir(filepath.Dir(path)))
			version, _ := strconv.ParseFloat(strings.TrimLeft(dir, "abcdefghijklmnopqrstuvwxyz@-"), 64)
			if version > bestVersion {
				best, bestVersion = path, version
			}
		}
	}
	return best, best != ""
}
