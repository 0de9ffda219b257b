// Reads the users file, and reloads it when it changes.

package web

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/crypto/bcrypt"
)

const (
	maxUsersBytes = 1 << 20
	maxCost       = 15 // of bcrypt; with a higher cost a login takes seconds
	usersCheck    = time.Second
	noPassword    = "-"
	maxName       = 255 // bytes
	hashesAtOnce  = 2
)

// account is a line of the users file.
type account struct {
	hash   []byte // nil for an account that only a proxy can use
	rights Rights
}

// Users are the users of a file with lines as of htpasswd with bcrypt, and a third field with rights:
//
//	anna:$2y$10$…:listen,download,numbers;campaigns=12,13
//
// A line without the third field grants listen. A hash of "-" means no password: only a proxy can identify this user.
// The file is reloaded when it has changed; if it is invalid then, the log says where, and the old users stay. It is
// safe for concurrent use.
type Users struct {
	path   string
	logger *slog.Logger
	key    [32]byte      // of the HMACs in proofs
	dummy  []byte        // a hash for unknown names
	busy   chan struct{} // one slot for each comparison in progress

	mu      sync.Mutex
	list    map[string]account
	seen    fileState
	checked time.Time
	problem string            // the state of the file and its problem, as logged
	proofs  map[[32]byte]bool // HMACs of passwords that were correct for the current file
}

type fileState struct {
	modified time.Time
	size     int64
}

// OpenUsers reads a users file. The error names the file and the line, without its content.
func OpenUsers(path string, logger *slog.Logger) (*Users, error) {
	u := &Users{path: path, logger: logger, busy: make(chan struct{}, hashesAtOnce)}
	rand.Read(u.key[:]) // never fails
	var err error
	if u.dummy, err = bcrypt.GenerateFromPassword(u.key[:], bcrypt.DefaultCost); err != nil {
		return nil, fmt.Errorf("make a hash: %w", err)
	}
	return u, u.read()
}

func (u *Users) read() error {
	info, err := os.Stat(u.path)
	if err != nil {
		return fmt.Errorf("read the users file: %w", err)
	}
	if !info.Mode().IsRegular() { // it is read repeatedly
		return errors.New("read the users file: it is not a regular file")
	}
	file, err := os.Open(u.path)
	if err != nil {
		return fmt.Errorf("read the users file: %w", err)
	}
	defer file.Close()
	u.seen = fileState{info.ModTime(), info.Size()}
	text, err := io.ReadAll(io.LimitReader(file, maxUsersBytes+1))
	if err == nil && len(text) > maxUsersBytes {
		err = errors.New("it is larger than 1 MiB")
	}
	if err != nil {
		return fmt.Errorf("read the users file: %w", err)
	}
	list, err := parseUsers(text)
	if err != nil {
		return fmt.Errorf("read the users file: %w", err)
	}
	u.list, u.proofs = list, map[[32]byte]bool{}
	return nil
}

// parseUsers reads the lines of a users file. Errors name the line and the correct form.
func parseUsers(text []byte) (map[string]account, error) {
	list := map[string]account{}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return nil, fmt.Errorf("line %d: it has no line feed at its end: the file is incomplete, or is still being written; end the line with a line feed", bytes.Count(text, []byte("\n"))+1)
	}
	n := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, a, err := parseAccount(line)
		if _, twice := list[name]; err == nil && twice {
			err = errors.New("the user is named twice")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list[name] = a
	}
	if len(list) == 0 {
		return nil, errors.New("it names no user")
	}
	return list, nil
}

func parseAccount(line string) (string, account, error) {
	parts := strings.SplitN(line, ":", 3)
	if len(parts) < 2 || !isName(parts[0]) {
		return "", account{}, errors.New("it is not NAME:HASH or NAME:HASH:RIGHTS")
	}
	a := account{rights: Rights{Listen: true}}
	if hash := parts[1]; hash != noPassword {
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || len(hash) != 60 {
			return "", account{}, errors.New("the hash is not a bcrypt hash: make it with htpasswd -B")
		}
		if cost > maxCost {
			return "", account{}, fmt.Errorf("the cost of the hash is above %d: a login would take seconds", maxCost)
		}
		a.hash = []byte(hash)
	}
	if len(parts) == 3 {
		var err error
		if a.rights, err = ParseRights(parts[2]); err != nil {
			return "", account{}, err
		}
	}
	return parts[0], a, nil
}

func isName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar })
}

// find returns the rights of a user named by a proxy.
func (u *Users) find(name string) (Rights, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	a, ok := u.list[name]
	return a.rights, ok
}

// Campaigns returns the ids and names of campaigns that the file limits users to, sorted.
func (u *Users) Campaigns() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	var list []string
	for _, a := range u.list {
		list = append(list, a.rights.Within.Campaigns...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// hasPassword reports whether a user can log in with a password.
func (u *Users) hasPassword(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	return u.list[name].hash != nil
}

// proved returns the rights of a user whose password was already correct since the last change of
// the file.
func (u *Users) proved(name, password string) (Rights, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	a := u.list[name]
	return a.rights, a.hash != nil && u.proofs[u.proof(name, password, a.hash)]
}

// login returns the rights of a user with a correct password. It takes as long for an unknown name. It remembers a
// correct password for proved.
func (u *Users) login(name, password string) (Rights, bool) {
	u.mu.Lock()
	a := u.list[name]
	u.mu.Unlock()
	hash := a.hash
	if hash == nil {
		hash = u.dummy
	}
	u.busy <- struct{}{}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-u.busy
	if err != nil || a.hash == nil || len(password) > 72 { // bcrypt uses only 72 bytes
		return Rights{}, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.Equal(u.list[name].hash, a.hash) {
		return Rights{}, false // the account has changed meanwhile
	}
	const maxProofs = 10_000
	if len(u.proofs) >= maxProofs {
		clear(u.proofs)
	}
	u.proofs[u.proof(name, password, a.hash)] = true
	return a.rights, true
}

func (u *Users) proof(name, password string, hash []byte) (sum [32]byte) {
	mac := hmac.New(sha256.New, u.key[:])
	_, _ = fmt.Fprintf(mac, "%d:%s%d:%s%s", len(name), name, len(password), password, hash) // hashes the whole input
	mac.Sum(sum[:0])
	return sum
}

// refresh reloads the file if it has changed. It logs a problem once for each state of the file, and tries to read a
// file again that could not be opened.
func (u *Users) refresh() {
	if time.Since(u.checked) < usersCheck {
		return
	}
	u.checked = time.Now()
	var now fileState
	info, err := os.Stat(u.path)
	if err == nil {
		if now = (fileState{info.ModTime(), info.Size()}); now == u.seen {
			return
		}
	}
	u.seen = fileState{} // until it is read
	before := u.list
	if err == nil {
		err = u.read()
	}
	if err == nil {
		u.problem = ""
		u.tellReload(before)
		return
	}
	if problem := fmt.Sprint(now, err); problem != u.problem {
		u.problem = problem
		u.logger.Error("the changed users file is wrong; the users stay as they were", "err", err)
	}
}

// tellReload logs how many users see all calls now, and how many of these had limits before: htpasswd drops them when it
// sets a password.
func (u *Users) tellReload(before map[string]account) {
	all, lost := 0, 0
	for name, a := range u.list {
		if !a.rights.Listen || a.rights.isLimited() {
			continue
		}
		all++
		if before[name].rights.isLimited() {
			lost++
		}
	}
	u.logger.Info("the users file was reloaded", "users", len(u.list), "without_limits", all)
	if lost > 0 {
		u.logger.Warn("users who had limits see all calls now: htpasswd drops the third field of a line when it sets a password; add the field again, unless you meant to drop it", "users", lost)
	}
}
