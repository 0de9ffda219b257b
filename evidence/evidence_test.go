package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"convoso-archiver/manifest"
)

// TestSeals seals closed days, and nothing twice.
func TestSeals(t *testing.T) {
	w := newWorld(t)
	w.keepDay("2026-03-01", 3)
	w.keepDay("2026-03-02", 0)
	first := w.seal()
	if !first.New || first.Number != 1 || first.Days != 2 || first.Lines != 3+3+3 {
		t.Errorf("the first seal: %+v", first)
	}
	if again := w.seal(); again.New || again.Head != first.Head {
		t.Errorf("nothing was closed since: %+v", again)
	}
	w.keepDay("2026-03-01", 4) // closed again, with another segment
	if second := w.seal(); !second.New || second.Number != 2 || second.Days != 1 {
		t.Errorf("a day that was closed again: %+v", second)
	}
	got := w.audit(w.dir)
	if got.Found != 0 || got.Seals != 2 || got.Days != 2 || got.Recordings != 4 || got.AudioRead != 4 || !slices.Equal(got.Signers, []string{"archive"}) {
		t.Errorf("the audit: %+v", got)
	}
}

// TestLaterLines adds unsealed lines: a sealed day stays valid.
func TestLaterLines(t *testing.T) {
	w := three(t)
	w.keepDay("2026-03-01", 5)
	if got := w.audit(w.dir); got.Found != 0 || got.Reclosed != 1 || got.Unsealed == 0 {
		t.Errorf("a day closed again: %+v", got)
	}
}

// TestStockTools checks signatures with ssh-keygen.
func TestStockTools(t *testing.T) {
	for _, kind := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"}, {"-t", "rsa", "-b", "2048"}} {
		w := newWorld(t)
		dir := t.TempDir()
		key := filepath.Join(dir, "key")
		w.must(exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-C", "", "-f", key}, kind...)...).Run())
		text, err := os.ReadFile(key)
		w.must(err)
		signer, end, err := Signer(t.Context(), text, "")
		w.must(err)
		defer func() { w.must(end()) }()
		w.signer = signer
		w.keepDay("2026-03-01", 2)
		w.seal()
		public, err := os.ReadFile(key + ".pub")
		w.must(err)
		allowed := filepath.Join(dir, "allowed")
		w.must(os.WriteFile(allowed, []byte(`archive namespaces="`+Namespace+`" `+string(public)), 0o600))
		check := func(seal []byte) error {
			c := exec.Command("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "archive", "-n", Namespace, "-s", filepath.Join(w.dir, sigName(1)))
			c.Stdin = bytes.NewReader(seal)
			return c.Run()
		}
		seal, err := os.ReadFile(filepath.Join(w.dir, sealName(1)))
		w.must(err)
		if err := check(seal); err != nil {
			t.Errorf("%v: ssh-keygen says %v", kind, err)
		}
		if err := check(append(seal, ' ')); err == nil {
			t.Errorf("%v: ssh-keygen accepts a changed seal", kind)
		}
		if got := w.audit(w.dir); got.Found != 0 {
			t.Errorf("%v: %+v", kind, got.Findings)
		}
	}
}

// TestAgent signs with a key that has a passphrase, through an agent.
func TestAgent(t *testing.T) {
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "agent") // the path of a socket must be short
	w.must(err)
	defer os.RemoveAll(dir)
	key := filepath.Join(dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen, of the package openssh-client: %v: %s", err, out)
	}
	text, err := os.ReadFile(key)
	w.must(err)
	if _, _, err := Signer(t.Context(), text, ""); err == nil || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("without an agent: %v", err)
	}
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase(text, []byte("secret"))
	w.must(err)
	ring := agent.NewKeyring()
	socket := serveAgent(t, dir, ring)
	if _, _, err := Signer(t.Context(), text, socket); err == nil || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("an agent without the key: %v", err)
	}
	w.must(ring.Add(agent.AddedKey{PrivateKey: raw}))
	public, err := os.ReadFile(key + ".pub")
	w.must(err)
	for _, file := range [][]byte{text, public} {
		signer, end, err := Signer(t.Context(), file, socket)
		w.must(err)
		w.signer = signer
		w.keepDay(fmt.Sprintf("2026-03-%02d", w.now.Hour()), 1)
		w.seal()
		w.must(end())
	}
	if got := w.audit(w.dir); got.Found != 0 || got.Seals != 2 {
		t.Errorf("%+v", got)
	}
	for _, file := range []string{"", "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"} {
		if _, _, err := Signer(t.Context(), []byte(file), socket); err == nil {
			t.Errorf("%q is taken for a key", file)
		}
	}
}

// TestChainsThatGoOnNoMore: each chain that cannot be continued is one clear error, and nothing is written.
func TestChainsThatGoOnNoMore(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(w *world)
		says  string
	}{
		"a gap":                {func(w *world) { w.must(os.Remove(filepath.Join(w.dir, sealName(2)))) }, "seal 2 is missing"},
		"the first is missing": {func(w *world) { w.must(os.Remove(filepath.Join(w.dir, sealName(1)))) }, "seal 1 is missing"},
		"no signature":         {func(w *world) { w.must(os.Remove(filepath.Join(w.dir, sigName(3)))) }, "has no signature"},
		"a changed seal": {func(w *world) {
			w.change(sealName(2), func(b []byte) []byte { return bytes.Replace(b, []byte("2026-03-05"), []byte("2026-03-06"), 1) })
		}, "is not of this seal"},
		"a changed newest seal": {func(w *world) {
			w.change(sealName(3), func(b []byte) []byte { return bytes.Replace(b, []byte("2026-03-02"), []byte("2026-03-03"), 1) })
		}, "is not of this seal"},
		"a seal that was signed anew": {func(w *world) {
			w.change(sealName(1), func(b []byte) []byte { return append(b, '\n') })
			text, err := os.ReadFile(filepath.Join(w.dir, sealName(1)))
			w.must(err)
			signature, err := sign(text, newSigner(t))
			w.must(err)
			w.must(os.WriteFile(filepath.Join(w.dir, sigName(1)), signature, 0o600))
		}, "does not follow the seal before it"},
		"not JSON":         {func(w *world) { w.change(sealName(3), func(b []byte) []byte { return b[1:] }) }, "cannot be used"},
		"another archive":  {func(w *world) { w.change("manifest/archive.json", w.otherID) }, "another archive"},
		"a clock too slow": {func(w *world) { w.now = w.now.Add(-4 * time.Hour) }, "check the clock"},
	} {
		t.Run(name, func(t *testing.T) {
			w := three(t)
			w.keepDay("2026-03-09", 1)
			test.spoil(w)
			before := w.tree()
			w.write(func(l *manifest.Ledger) {
				_, err := (&Sealing{Ledger: l, Signer: w.signer, Now: w.now}).Run(t.Context())
				if chain, ok := errors.AsType[*ChainError](err); !ok || !strings.Contains(chain.Problem, test.says) {
					t.Errorf("%v", err)
				}
			})
			if !slices.Equal(w.tree(), before) {
				t.Error("something was written")
			}
		})
	}
}

func (w *world) otherID(text []byte) []byte {
	var a map[string]any
	w.must(json.Unmarshal(text, &a))
	a["id"] = "another"
	text, err := json.Marshal(a)
	w.must(err)
	return append(text, '\n')
}

// TestLeftSignature replaces the signature that a killed run left without a seal.
func TestLeftSignature(t *testing.T) {
	w := three(t)
	w.keepDay("2026-03-09", 1)
	w.must(os.WriteFile(filepath.Join(w.dir, sigName(4)), []byte("left"), 0o600))
	if made := w.seal(); made.Number != 4 {
		t.Errorf("%+v", made)
	}
	if got := w.audit(w.dir); got.Found != 0 || got.Seals != 4 {
		t.Errorf("%+v", got)
	}
}

// TestChangedDay does not seal a day that differs from its day line.
func TestChangedDay(t *testing.T) {
	w := newWorld(t)
	w.keepDay("2026-03-01", 2)
	w.keepDay("2026-03-02", 2)
	w.change(w.segment("2026-03-02"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"attempts":1`), []byte(`"attempts":2`), 1) })
	made := w.seal()
	if made.Days != 1 || !slices.Equal(made.Changed, []string{"2026-03-02"}) {
		t.Errorf("%+v", made)
	}
}

// segment is the first segment of a day.
func (w *world) segment(day string) string {
	found, err := filepath.Glob(filepath.Join(w.dir, "manifest", day, "*.jsonl"))
	w.must(err)
	name, err := filepath.Rel(w.dir, found[0])
	w.must(err)
	return name
}

func (w *world) change(name string, change func([]byte) []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	w.must(err)
	changed := change(bytes.Clone(text))
	if bytes.Equal(changed, text) {
		w.t.Fatalf("nothing of %s was changed", name)
	}
	w.must(os.WriteFile(path, changed, 0o600))
}

// tree returns every file with its bytes.
func (w *world) tree() (list []string) {
	w.must(filepath.WalkDir(w.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "lock" {
			return err
		}
		text, err := os.ReadFile(path)
		list = append(list, path+"\x00"+string(text))
		return err
	}))
	return list
}

// attacks is the number of attacks with write access; ATTACKS overrides it.
func attacks() int {
	if n, err := strconv.Atoi(os.Getenv("ATTACKS")); err == nil {
		return n
	}
	return 100
}

// TestAttacks simulates attackers with write access to the store who change, remove, add or reorder sealed data,
// insert stubs, remove the newest seals, or sign again with another key. Every attack is detected.
func TestAttacks(t *testing.T) {
	w := three(t)
	if got := w.audit(w.dir); got.Found != 0 || got.Seals != 3 {
		t.Fatalf("untouched: %+v", got.Findings)
	}
	seed := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = n
	}
	random := rand.New(rand.NewPCG(seed, 1))
	missed := 0
	for n := range attacks() {
		victim := *w
		victim.dir = filepath.Join(t.TempDir(), "copy")
		w.must(os.CopyFS(victim.dir, os.DirFS(w.dir)))
		said := attack(&victim, random)
		got := w.audit(victim.dir)
		if got.Found == 0 {
			t.Errorf("SEED=%d, attack %d is not found: %s", seed, n, said)
			if missed++; missed > 5 {
				t.FailNow()
			}
		}
		w.must(os.RemoveAll(victim.dir))
	}
}

// attack makes one attack and returns its description.
func attack(w *world, random *rand.Rand) string {
	pick := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(w.dir, filepath.FromSlash(pattern)))
		w.must(err)
		name, err := filepath.Rel(w.dir, found[random.IntN(len(found))])
		w.must(err)
		return filepath.ToSlash(name)
	}
	segments := []string{"manifest/*/*.jsonl", "calls/*/*.jsonl"}
	any := []string{"manifest/*/*.jsonl", "calls/*/*.jsonl", "manifest/*/closed.json", "seals/*", "2026-*/*.mp3", "evidence/*"}
	of := func(patterns []string) string { return pick(patterns[random.IntN(len(patterns))]) }
	lines := func(name string, change func(list [][]byte) [][]byte) {
		w.change(name, func(b []byte) []byte {
			return bytes.Join(change(bytes.SplitAfter(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))), nil)
		})
	}
	switch kind := random.IntN(17); kind {
	case 0:
		name := of(any)
		at := 0
		w.change(name, func(b []byte) []byte {
			at = random.IntN(len(b))
			b[at] ^= byte(1 << random.IntN(7))
			return b
		})
		return fmt.Sprintf("bit flipped in %s at %d", name, at)
	case 1:
		name := of(any)
		w.must(os.Remove(filepath.Join(w.dir, name)))
		return "removed " + name
	case 2:
		name := of(segments)
		lines(name, func(list [][]byte) [][]byte { i := random.IntN(len(list)); return slices.Delete(list, i, i+1) })
		return "line removed from " + name
	case 3:
		name := of(segments)
		lines(name, func(list [][]byte) [][]byte { return append(list, []byte("\n"), list[random.IntN(len(list))]) })
		return "line doubled in " + name
	case 4:
		name := pick("manifest/*/*.jsonl")
		lines(name, func(list [][]byte) [][]byte {
			i := random.IntN(len(list) - 1)
			list[len(list)-1] = append(bytes.TrimSuffix(list[len(list)-1], []byte("\n")), '\n')
			list[i], list[i+1] = list[i+1], list[i]
			return list
		})
		return "lines reordered in " + name
	case 5, 6: // a stub with the right digest: the root stays the same
		name := of(segments)
		lines(name, func(list [][]byte) [][]byte {
			i := random.IntN(len(list))
			line := bytes.TrimSuffix(list[i], []byte("\n"))
			id := "x"
			if r, ok, _ := (manifest.SegmentLine{Raw: line}).Recording(); ok {
				id = r.RecordingID
			}
			list[i] = fmt.Appendf(nil, "{\"v\":1,\"kind\":\"recording\",\"recording_id\":%q,\"outcome\":\"erased\",\"reason\":\"E1\",\"digest\":\"%s\"}\n", id, hashOf(line))
			return list
		})
		return "stub in " + name
	case 7:
		n := 1 + random.IntN(3)
		for number := 3; number > 3-n; number-- {
			w.must(os.Remove(filepath.Join(w.dir, sealName(number))))
			w.must(os.Remove(filepath.Join(w.dir, sigName(number))))
		}
		return fmt.Sprintf("the newest %d seals cut off", n)
	case 8: // all seals from one on are recreated correctly, but with another key
		from := 1 + random.IntN(3)
		for number := 3; number >= from; number-- {
			w.must(os.Remove(filepath.Join(w.dir, sealName(number))))
			w.must(os.Remove(filepath.Join(w.dir, sigName(number))))
		}
		w.signer = newSigner(w.t)
		w.seal()
		return fmt.Sprintf("seal %d made anew with another key", from)
	case 9: // the same seals, signed by another key
		number := 1 + random.IntN(3)
		text, err := os.ReadFile(filepath.Join(w.dir, sealName(number)))
		w.must(err)
		signature, err := sign(text, newSigner(w.t))
		w.must(err)
		w.must(os.WriteFile(filepath.Join(w.dir, sigName(number)), signature, 0o600))
		return fmt.Sprintf("seal %d signed by another key", number)
	case 10:
		a, b := pick("2026-*/*.mp3"), pick("2026-*/*.mp3")
		for a == b {
			b = pick("2026-*/*.mp3")
		}
		temp := filepath.Join(w.dir, "temp")
		w.must(os.Rename(filepath.Join(w.dir, a), temp))
		w.must(os.Rename(filepath.Join(w.dir, b), filepath.Join(w.dir, a)))
		w.must(os.Rename(temp, filepath.Join(w.dir, b)))
		return "audio swapped: " + a + ", " + b
	case 11:
		name := pick("2026-*/*.mp3")
		w.change(name, func(b []byte) []byte {
			if random.IntN(2) == 0 {
				return append(b, 0)
			}
			return b[:random.IntN(len(b))]
		})
		return "audio cut or longer: " + name
	case 12:
		a, b := 1, 2
		for _, name := range []func(int) string{sealName, sigName} {
			w.must(os.Rename(filepath.Join(w.dir, name(a)), filepath.Join(w.dir, "temp")))
			w.must(os.Rename(filepath.Join(w.dir, name(b)), filepath.Join(w.dir, name(a))))
			w.must(os.Rename(filepath.Join(w.dir, "temp"), filepath.Join(w.dir, name(b))))
		}
		return "seals reordered"
	case 13: // an unsealed segment gives a recording other audio
		day, id := "2026-03-03", "2026-03-03-1"
		w.must(os.WriteFile(filepath.Join(w.dir, day, "forged.mp3"), []byte("forged"), 0o600))
		line := fmt.Sprintf(`{"v":1,"kind":"recording","recording_id":%q,"outcome":"%s","key":"%s/forged.mp3","size":6,"sha256":"%s","time":"2026-03-20T09:00:0%dZ","run":"r","call_id":"c%s","salt":"%032d"}`,
			id, []string{"damaged", "archived"}[random.IntN(2)], day, hashOf([]byte("forged")), random.IntN(10), id, 1)
		w.must(os.WriteFile(filepath.Join(w.dir, "manifest", day, "20260320T090000Z-00000000-000001.jsonl"), []byte(line+"\n"), 0o600))
		if strings.Contains(line, `"damaged"`) {
			return "a forged line says damaged"
		}
		// of two archived lines with different keys, the later one wins
		return "a forged line names other audio"
	case 14:
		name := pick("manifest/*/closed.json")
		forged := []string{`"by_outcome":{"erased":99}`, `"by_outcome":{"archived":1,"expired":2}`}[random.IntN(2)]
		w.change(name, func(b []byte) []byte {
			return regexp.MustCompile(`"by_outcome":\{[^}]*\}`).ReplaceAll(b, []byte(forged))
		})
		return "outcomes forged in " + name
	case 15:
		name := pick("manifest/*/closed.json")
		w.change(name, func(b []byte) []byte {
			if random.IntN(2) == 0 { // of two lines for a filter, the program uses the first
				return append(append([]byte(strings.Replace(string(b), `"calls":`, `"calls":1`, 1)), b...), '\n')
			}
			b = regexp.MustCompile(`"calls_segments":\[.*?\]`).ReplaceAll(b, []byte(`"calls_segments":[]`))
			return regexp.MustCompile(`"calls_root":"[^"]*"`).ReplaceAll(b, []byte(`"calls_root":"`+hashOf(nil)+`"`))
		})
		return "day line forged in " + name
	default:
		name := "seals/" + []string{"000004.json", "note.txt", "000002.json.bak"}[random.IntN(3)]
		w.must(os.WriteFile(filepath.Join(w.dir, name), []byte("{}"), 0o600))
		return "added " + name
	}
}

// TestBackdated detects a seal with an earlier time than the previous one, as made with a retired key.
func TestBackdated(t *testing.T) {
	w := three(t)
	w.keepDay("2026-03-09", 1)
	seals := func() []stored {
		l, end := w.open(true)
		defer end()
		list, _, err := load(t.Context(), l.Objects())
		w.must(err)
		return list
	}
	list := seals()
	forged := list[2].Seal
	forged.Number, forged.Previous, forged.Time = 4, list[2].hash, list[2].Time.AddDate(-1, 0, 0)
	text, err := json.Marshal(forged)
	w.must(err)
	signature, err := sign(text, w.signer)
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, sealName(4)), text, 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, sigName(4)), signature, 0o600))
	w.head = Head{4, hashOf(text)}
	if got := w.audit(w.dir); got.Found != 1 || got.Findings[0].Kind != SealTime {
		t.Errorf("%+v", got.Findings)
	}
}

// TestAllowedSigners reads patterns like ssh-keygen, and refuses unknown options.
func TestAllowedSigners(t *testing.T) {
	key := string(ssh.MarshalAuthorizedKey(newSigner(t).PublicKey()))
	for options, want := range map[string]bool{
		"":                                       true,
		`namespaces="` + Namespace + `" `:        true,
		`namespaces="file,convoso-archiver.*" `:  true,
		`namespaces="convoso-archiver.seal.v?" `: true,
		`namespaces="file" `:                     false,
		`namespaces="!` + Namespace + `,*" `:     false,
		`namespaces="*,!convoso-archiver.*" `:    false,
		`valid-after="20260101" `:                true,
		`valid-before="20260101" `:               false,
		`valid-after="20260310090000Z" `:         true,
	} {
		signers, err := ParseAllowedSigners([]byte("# who may\n\narchive " + options + key))
		if err != nil {
			t.Errorf("%s: %v", options, err)
			continue
		}
		if got := signers[0].allows(time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("%s: %t", options, got)
		}
	}
	for _, text := range []string{
		"", "# nobody", "archive", "archive nonsense", "archive cert-authority " + key, "!archive " + key, `archive valid-after="soon" ` + key,
		`archive namespaces="a",namespaces="b" ` + key, "archive no-touch-required " + key,
	} {
		if _, err := ParseAllowedSigners([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestHistory says for each line whether a valid seal covers it, and ignores invalid seals.
func TestHistory(t *testing.T) {
	w := three(t)
	history := func(allowed []AllowedSigner) History {
		l, end := w.open(true)
		defer end()
		h, err := HistoryOf(t.Context(), l, "2026-03-03-1", allowed)
		w.must(err)
		return h
	}
	if h := history(w.allowed()); h.Sealed != 1 || h.Broken != 0 || !h.Checked || len(h.Events) != 4 || !strings.HasSuffix(h.Events[3].Detail, ", signed by archive") {
		t.Errorf("%+v", h)
	}
	if h := history(nil); h.Sealed != 1 || h.Checked || strings.Contains(h.Events[3].Detail, "signed by") {
		t.Errorf("without signers: %+v", h)
	}
	other := *w
	other.signer = newSigner(t)
	if h := history(other.allowed()); h.Sealed != 0 || h.Broken != 1 || strings.Contains(h.Events[3].Detail, "signed by archive") {
		t.Errorf("signed by somebody else: %+v", h)
	}
	w.change(w.segment("2026-03-03"), func(b []byte) []byte {
		return bytes.Replace(b, []byte("media.example.com"), []byte("evil.example.com!"), 1)
	})
	if h := history(nil); h.Sealed != 0 || h.Broken != 1 {
		t.Errorf("a changed line: %+v", h)
	}
}
