package evidence

import (
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/internal/tsatest"
	"convoso-archiver/manifest"
)

func rootsOf(t *testing.T, a *tsatest.Authority) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(a.Roots)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := ParseRoots(text)
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// stamped makes a seal, and gets it stamped.
func (w *world) stamped(a *tsatest.Authority) (made Sealed) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	w.write(func(l *manifest.Ledger) {
		var err error
		made, err = (&Sealing{Ledger: l, Signer: w.signer, TSA: &TSA{URL: a.URL}, Now: w.now}).Run(w.t.Context())
		w.must(err)
	})
	return made
}

// stamps audits only the seals.
func (w *world) stamps(roots *x509.CertPool) (made Audited) {
	w.t.Helper()
	l, end := w.open(true)
	defer end()
	made, err := (&Audit{Ledger: l, Allowed: w.allowed(), TSARoots: roots, Now: w.now}).Run(w.t.Context())
	w.must(err)
	return made
}

// TestStamps stamps seals and checks the stamps with stock openssl, including a seal made earlier.
func TestStamps(t *testing.T) {
	a := tsatest.Start(t)
	w := newWorld(t)
	w.keepDay("2026-03-01", 2)
	w.seal()
	w.keepDay("2026-03-02", 2)
	if made := w.stamped(a); made.Number != 2 || made.Stamped != 2 || made.Unstamped != 0 {
		t.Fatalf("%+v", made)
	}
	if again := w.stamped(a); again.New || again.Stamped != 0 {
		t.Errorf("stamped again: %+v", again)
	}
	for n := range 2 {
		check := func() error {
			return exec.Command("openssl", "ts", "-verify", "-data", filepath.Join(w.dir, sigName(n+1)), "-in", filepath.Join(w.dir, stampName(n+1)), "-CAfile", a.Roots).Run()
		}
		if err := check(); err != nil {
			t.Errorf("openssl says of the stamp of seal %d: %v", n+1, err)
		}
	}
	if got := w.stamps(rootsOf(t, a)); got.Found != 0 || got.Stamped != 2 || got.StampTime == nil || !got.TSAChecked {
		t.Errorf("%+v", got)
	}
	if got := w.stamps(nil); got.Found != 0 || got.Stamped != 2 || got.TSAChecked {
		t.Errorf("without roots: %+v", got)
	}
	if got := w.stamps(rootsOf(t, tsatest.Start(t))); got.Found != 2 || got.Findings[0].Kind != UnknownTSA || got.Stamped != 0 {
		t.Errorf("roots of another authority: %+v", got)
	}
	w.change(stampName(1), func(b []byte) []byte {
		other, err := os.ReadFile(filepath.Join(w.dir, stampName(2)))
		w.must(err)
		return other
	})
	w.change(stampName(2), func(b []byte) []byte {
		b[len(b)-1] ^= 1 // of the signature
		return b
	})
	if got := w.stamps(nil); got.Found != 2 || got.Findings[0].Kind != BadStamp || got.Findings[1].Kind != BadStamp || got.Stamped != 0 {
		t.Errorf("changed stamps: %+v", got)
	}
	w.change(stampName(1), func([]byte) []byte { return []byte("no stamp") })
	if got := w.stamps(nil); got.Found != 2 {
		t.Errorf("a stamp that is none: %+v", got)
	}
}

// TestStampFails: a seal is valid without a stamp, and the next run tries again.
func TestStampFails(t *testing.T) {
	a := tsatest.Start(t)
	old := []byte(nil)
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, query []byte) bool
		says   string
	}{
		"an error": {func(w http.ResponseWriter, _ []byte) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, "status 500"},
		"a page": {func(w http.ResponseWriter, _ []byte) bool {
			_, _ = w.Write([]byte("<html>"))
			return true
		}, "not a timestamp"},
		"a stamp of before": {func(w http.ResponseWriter, query []byte) bool {
			if old == nil {
				old = a.Reply(query)
			}
			_, _ = w.Write(old)
			return true
		}, "not a timestamp of this seal"},
	} {
		w := newWorld(t)
		w.keepDay("2026-03-01", 1)
		if a.Answer = test.answer; strings.HasPrefix(name, "a stamp") {
			w.stamped(a)
			w.keepDay("2026-03-02", 1)
		}
		made := w.stamped(a)
		if !made.New || made.Unstamped == 0 || !strings.Contains(made.StampFailure, test.says) || strings.Contains(made.StampFailure, a.URL) {
			t.Errorf("%s: %+v", name, made)
		}
		a.Answer = nil
		if next := w.stamped(a); next.New || next.Stamped != made.Unstamped {
			t.Errorf("%s: the next run: %+v", name, next)
		}
		if got := w.stamps(rootsOf(t, a)); got.Found != 0 || got.Stamped != made.Number {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestStampOfThatTime: certificates must be valid at the time of the stamp, not now.
func TestStampOfThatTime(t *testing.T) {
	a := tsatest.Start(t)
	roots := rootsOf(t, a)
	answer, err := (&TSA{URL: a.URL}).stamp(t.Context(), []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // the clock of a bubble begins in 2000
		if at, err := checkStamp(t.Context(), answer, []byte("message"), roots); err != nil || !at.After(time.Now().AddDate(20, 0, 0)) {
			t.Errorf("%s: %v", at, err)
		}
	})
}

func TestParseRoots(t *testing.T) {
	for _, text := range []string{"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ParseRoots([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
