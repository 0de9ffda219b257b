//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"convoso-archiver/fetcher/convosotest"
)

// TestPowerCut traces two runs into one folder, and works out from their system calls
// what a power cut would have left at each moment: in the worst case only what had
// been synced by then, and at other times more, or parts of it. Whatever is left must
// be right; and from a few of these disks the program must finish the archive.
func TestPowerCut(t *testing.T) {
	strace := needStrace(t)
	t.Parallel()
	seed := tortureSeed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	source := simulate(t, convosotest.Config{
		Seed: 70, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 24, RecordedShare: 1, SeveralShare: 0.2,
		MedianSize: 15_000, MaxSize: 60_000, BigRecordings: []int64{1_300_032},
	})
	p := newPowerCut(t, strace, source, t.TempDir())
	p.run(3, "archive", append(wholeSpan(), "--max-recordings", "20")...)
	p.run(0, "archive", wholeSpan()...)
	p.archive.checkFiles(nil)
	t.Log(p.disk.summary())
	checker := newCutChecker(source, p.disk.output)
	disks := p.cutEverywhere(checker, random)
	random.Shuffle(len(disks), func(i, j int) { disks[i], disks[j] = disks[j], disks[i] })

	rounds := tortureRounds(t, 5)
	for _, disk := range disks[:min(rounds, len(disks))] {
		p.recover(checker, disk)
	}
	// Recovering is no excuse: the power may be cut again.
	checked, torn := len(disks), slices.IndexFunc(disks, func(c cut) bool { return c.torn(dest) })
	if torn >= 0 {
		checked += p.cutRecovery(disks[torn], random)
	}
	checked += p.cutRepair(p.disk.cutPower(p.calls[len(p.calls)-1].exit+1, keepAll, random), random)
	t.Logf("%d disks checked, %d given to the program; with a torn day: %t", checked, rounds, torn >= 0)
}

// TestPowerCutAfterKill kills a run at one of its first syncs, one later each round,
// and cuts the power during the next run, which finds what nobody has made durable.
func TestPowerCutAfterKill(t *testing.T) {
	strace := needStrace(t)
	t.Parallel()
	seed := tortureSeed(t)
	for round := range tortureRounds(t, 9) {
		random := rand.New(rand.NewPCG(seed, uint64(round)))
		source := simulate(t, convosotest.Config{Seed: 71, FirstDay: daysAgo(6), Days: 2, CallsPerDay: 3, RecordedShare: 1, MedianSize: 15_000, MaxSize: 60_000})
		p := newPowerCut(t, strace, source, t.TempDir())
		nth := 1 + round
		p.archive.env = append(p.archive.env, "GOMAXPROCS=1") // most calls come from one thread, in much the same order
		killed := p.runKilled(nth)
		p.run(0, "archive", wholeSpan()...)
		p.cutEverywhere(newCutChecker(source, p.disk.output), random)
		t.Logf("killed at fsync %d of a thread: %t", nth, killed)
	}
}

// dest is the archive's folder below the traced one.
const dest = "dest"

// wholeSpan are the flags of a run that archives everything, into folders that are made
// as they are needed.
func wholeSpan() []string {
	return []string{
		"--start-time", daysAgo(6), "--end-time", daysAgo(5), "--workers", "6",
		"--path-template", `{{.campaign_id}}/{{.call_date.Format "2006-01-02"}}/{{.filename}}`,
	}
}

// powerCut is an archive that is filled under strace.
type powerCut struct {
	t       *testing.T
	strace  string
	archive *archive
	disk    *tracedDisk
	calls   []systemCall
}

// newPowerCut takes what stands in a folder as durable.
func newPowerCut(t *testing.T, strace string, source *convosotest.Server, base string) *powerCut {
	t.Helper()
	base, err := filepath.EvalSymlinks(base)
	if err != nil {
		t.Fatal(err)
	}
	p := &powerCut{t: t, strace: strace, archive: onDisk(t, source)}
	p.archive.dest = filepath.Join(base, dest)
	if p.disk, err = newTracedDisk(base); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs the program once more and adds what it did to the disk's history.
func (p *powerCut) run(code int, command string, args ...string) {
	p.t.Helper()
	p.runWith([]string{p.strace, "--seccomp-bpf"}, command, args...).want(p.t, code)
}

// runKilled runs the program, which strace kills when a thread calls fsync for the
// nth time. It reports whether that came before the end. (With --seccomp-bpf strace
// 6.1 injects nothing.)
func (p *powerCut) runKilled(nth int) bool {
	p.t.Helper()
	kill := fmt.Sprintf("inject=fsync:signal=KILL:when=%d", nth)
	return p.runWith([]string{p.strace, "-e", kill}, "archive", wholeSpan()...).code == -1
}

func (p *powerCut) runWith(strace []string, command string, args ...string) result {
	p.t.Helper()
	position := 0
	if len(p.calls) > 0 {
		position = p.calls[len(p.calls)-1].exit + 3 // after what was reconciled
	}
	r, calls := p.archive.runTraced(strace, position, command, args...)
	if err := p.disk.replay(calls); err != nil {
		p.t.Fatal(err)
	}
	p.calls = append(p.calls, calls...)
	end := p.calls[len(p.calls)-1].exit + 1
	differences, err := p.disk.reconcile(end)
	if err != nil {
		p.t.Fatal(err)
	}
	if differences > 0 && r.code != -1 {
		p.t.Fatalf("the model of the disk differs from the disk in %d points", differences)
	}
	return r
}

// cutEverywhere checks the disks that power cuts leave before and after each sync,
// after each acknowledgement and at a few other moments. It returns these disks.
func (p *powerCut) cutEverywhere(checker *cutChecker, random *rand.Rand) []cut {
	t := p.t
	t.Helper()
	moments := []int{p.calls[len(p.calls)-1].exit + 1}
	for _, s := range p.disk.syncs {
		moments = append(moments, max(0, s.exit), s.exit+1)
	}
	for _, told := range checker.told {
		moments = append(moments, told.at+1)
	}
	for range 100 {
		moments = append(moments, random.IntN(moments[0]))
	}
	slices.Sort(moments)
	var disks []cut
	for _, at := range slices.Compact(moments) {
		for _, keep := range []keep{keepDurable, keepNames, keepLengths, keepAll, keepSome, keepPages} {
			disk := p.disk.cutPower(at, keep, random)
			if faults := checker.check(disk, dest); len(faults) > 0 {
				t.Errorf("after a power cut at %d, when %s was kept:\n%s\nthere is:\n%s\nthe system calls before it:\n%s",
					at, keep, strings.Join(faults[:min(len(faults), 5)], "\n"), strings.Join(append(disk.folders, slices.Sorted(maps.Keys(disk.files))...), "\n"), p.before(at))
			}
			disks = append(disks, disk)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	return disks
}

// before returns the last system calls before a position, for a person.
func (p *powerCut) before(at int) string {
	var lines []string
	for _, c := range p.calls {
		if c.exit >= at || c.result < 0 || slices.Contains([]string{"close", "fcntl", "mmap", "lseek", "dup"}, c.name) {
			continue
		}
		line := fmt.Sprintf("%d to %d: %s", c.enter, c.exit, c.name)
		for _, arg := range c.args {
			if strings.Contains(arg, `"`) {
				arg, _ = (&systemCall{args: []string{arg}}).text(0)
				arg = fmt.Sprintf("%.80q", arg)
			} else if number, rest, found := strings.Cut(arg, "<"); found {
				rest, _, _ = strings.Cut(rest, ">")
				rest, _ = unhex(rest)
				arg = number + "<" + strings.TrimPrefix(rest, p.disk.base) + ">"
			}
			line += " " + arg
		}
		lines = append(lines, line)
	}
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// onto writes a disk to a new folder and returns the archive there.
func (p *powerCut) onto(disk cut) *powerCut {
	p.t.Helper()
	base := p.t.TempDir()
	if err := disk.writeTo(base); err != nil {
		p.t.Fatal(err)
	}
	return newPowerCut(p.t, p.strace, p.archive.server, base)
}

// recover gives a disk to the program, which must end what was begun without asking
// again for what was archived.
func (p *powerCut) recover(checker *cutChecker, disk cut) {
	t := p.t
	t.Helper()
	after := p.onto(disk).archive
	after.server.ResetStats()
	after.run(wholeSpan()...).want(t, 0)
	if c := after.checkFiles(nil); len(c.closed) != 2 {
		t.Errorf("%d days are closed", len(c.closed))
	}
	asked := after.server.Stats().Recordings
	for _, told := range checker.told {
		if told.at < disk.at && told.recording != "" && asked[told.recording].Requests > 0 {
			t.Errorf("recording %s was archived, and is asked for again", told.recording)
		}
	}
	after.verify().want(t, 0)
	if t.Failed() {
		t.Fatalf("the power was cut at %d, %s was kept; the system calls before it:\n%s", disk.at, disk.keep, p.before(disk.at))
	}
}

// cutRecovery cuts the power again while a run recovers.
func (p *powerCut) cutRecovery(disk cut, random *rand.Rand) (checked int) {
	p.t.Helper()
	after := p.onto(disk)
	after.run(0, "archive", wholeSpan()...)
	return len(after.cutEverywhere(newCutChecker(p.archive.server, after.disk.output), random))
}

// cutRepair cuts the power while a repair mends a day with a line that cannot be read.
func (p *powerCut) cutRepair(disk cut, random *rand.Rand) (checked int) {
	t := p.t
	t.Helper()
	base := t.TempDir()
	if err := disk.writeTo(base); err != nil {
		t.Fatal(err)
	}
	insertBadLine(t, filepath.Join(base, dest, "manifest", daysAgo(5)+".jsonl"))
	after := newPowerCut(t, p.strace, p.archive.server, base)
	after.run(4, "verify", "--repair")
	checker := newCutChecker(p.archive.server, after.disk.output)
	checker.damaged = true
	checked = len(after.cutEverywhere(checker, random))
	after.archive.run(wholeSpan()...).want(t, 0)
	after.archive.verify().want(t, 0)
	return checked
}

func insertBadLine(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	behindFirst := bytes.IndexByte(data, '\n') + 1
	if err := os.WriteFile(file, slices.Insert(data, behindFirst, []byte("{]\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
}
