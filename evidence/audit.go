// Audits an archive: checks seals, lines and recordings.

package evidence

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/manifest"
)

// Store reads the recordings; *store.Disk and *store.S3 implement it.
type Store interface {
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// Audit checks an archive against its seals.
type Audit struct {
	Ledger  *manifest.Ledger
	Allowed []AllowedSigner
	Head    *Head // nil: the removal of the newest seals is not detected
	// TSARoots are the root certificates of timestamps; nil: any authority is accepted.
	TSARoots *x509.CertPool
	Store    Store // nil: the recordings are not read
	Workers  int   // recordings read in parallel
	Now      time.Time
}

// Audited is the result of an audit.
type Audited struct {
	Seals      int        `json:"seals"`
	Head       string     `json:"head"` // of the newest seal; empty for none
	HeadGiven  bool       `json:"head_given"`
	Signers    []string   `json:"signers"`       // principals that signed, without duplicates
	Stamped    int        `json:"seals_stamped"` // with a valid timestamp
	StampTime  *time.Time `json:"stamp_time"`    // of the newest of these seals, null for none
	TSAChecked bool       `json:"tsa_checked"`   // the authorities were checked against roots
	Days       int        `json:"days"`          // sealed days
	Lines      int64      `json:"lines"`         // read
	Recordings int        `json:"recordings"`    // of sealed days, like all that follow
	Erased     int        `json:"erased"`
	Expired    int        `json:"expired"`            // whose audio was removed at the end of its retention, as a sealed record says
	Absent     int        `json:"expired_unnoted"`    // whose audio is missing and whose retention has ended, and of which no record says that it was removed
	Unsure     int        `json:"audio_not_compared"` // whose audio was not compared, because their lines may differ from the sealed ones
	AudioRead  int        `json:"audio_read"`
	Bytes      int64      `json:"bytes"`          // of these
	Unsealed   int        `json:"files_unsealed"` // files of sealed days that are not in a seal yet
	Unclosed   int        `json:"files_unclosed"` // of these, files that no day line names: their days must be closed again first
	Reclosed   int        `json:"days_reclosed"`  // closed again after they were sealed; the next seal includes them
	Findings   []Finding  `json:"findings"`
	Found      int        `json:"found"` // total number of findings
}

// maxFindings is how many findings are kept; the rest is only counted.
const maxFindings = 10_000

// auditing is the state of an audit.
type auditing struct {
	*Audit
	seals  []stored
	erased map[string]bool    // digests in sealed erasures
	sealed *manifest.Erasures // the sealed erasures
	// evidence are the files of evidence/ that seals name, and that have not grown since.
	evidence map[string]bool
	obeyed   *manifest.Erasures // all erasures that readers obey, sealed or not
	missing  missingChecks
	slots    chan struct{} // one slot for each recording being read

	mu  sync.Mutex
	sum Audited
}

// Run audits. Findings are not errors; the error is one of the archive, or the end of ctx. Memory grows with the days
// in work and the number of seals.
func (a *Audit) Run(ctx context.Context) (Audited, error) {
	r := &auditing{Audit: a, erased: map[string]bool{}, evidence: map[string]bool{}, slots: make(chan struct{}, max(a.Workers, 1))}
	r.sum = Audited{HeadGiven: a.Head != nil, TSAChecked: a.TSARoots != nil, Signers: []string{}, Findings: []Finding{}}
	err := r.run(ctx)
	slices.SortStableFunc(r.sum.Findings, compareFindings)
	return r.sum, err
}

func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Seal, b.Seal), strings.Compare(a.Day, b.Day), strings.Compare(a.File, b.File), strings.Compare(a.RecordingID, b.RecordingID))
}

func (r *auditing) run(ctx context.Context) error {
	about, err := r.Ledger.Archive(ctx)
	if err != nil {
		return err
	}
	var foreign []string
	if r.seals, foreign, err = load(ctx, r.Ledger.Objects()); err != nil {
		return err
	}
	for _, file := range foreign {
		r.find(Finding{Kind: ForeignFile, File: file, Detail: "it is neither a seal nor a signature"})
	}
	trusted := r.checkSeals(&about)
	r.checkStamps(ctx, trusted)
	if err := r.checkEvidence(ctx, trusted); err != nil {
		return err
	}
	if r.Store != nil {
		if err := r.loadMissing(ctx); err != nil {
			return err
		}
	}
	return r.checkDays(ctx, trusted)
}

func (r *auditing) find(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sum.Found++; len(r.sum.Findings) < maxFindings {
		r.sum.Findings = append(r.sum.Findings, f)
	}
}

func (r *auditing) count(change func(*Audited)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.sum)
}

// checkSeals checks the chain and the signatures, and returns the valid seals.
func (r *auditing) checkSeals(archive *manifest.Archive) (trusted []*stored) {
	findings, signers := judgeSeals(r.seals, archive, r.Head, r.Now, func(s *stored) (string, error) { return checkSignature(s, r.Allowed) })
	for _, f := range findings {
		r.find(f)
	}
	for i := range r.seals {
		if principals, ok := signers[r.seals[i].Number]; ok {
			trusted = append(trusted, &r.seals[i])
			if !slices.Contains(r.sum.Signers, principals) {
				r.sum.Signers = append(r.sum.Signers, principals)
			}
		}
	}
	r.sum.Seals = len(r.seals)
	if n := len(r.seals); n > 0 {
		r.sum.Head = r.seals[n-1].head().String()
	}
	return trusted
}

// checkEvidence checks the files of evidence/, and collects the lines that were erased on purpose.
func (r *auditing) checkEvidence(ctx context.Context, trusted []*stored) error {
	want := map[string][]claim{}
	for _, s := range trusted {
		for _, f := range s.Evidence {
			want[f.Name] = append(want[f.Name], claim{s.Number, f})
		}
	}
	there, err := r.Ledger.Segments(ctx, manifest.TreeEvidence, "")
	if err != nil {
		return err
	}
	var sealed []manifest.ErasureRecord
	for _, name := range sortedKeys(want) {
		i := slices.IndexFunc(there, func(s manifest.StoredSegment) bool { return s.Name == name })
		if i < 0 {
			r.find(Finding{Kind: LinesMissing, Seal: want[name][0].seal, File: string(manifest.TreeEvidence) + "/" + name, Detail: "it is sealed, but missing"})
			continue
		}
		longest := slices.MaxFunc(want[name], func(a, b claim) int { return cmp.Compare(a.Lines, b.Lines) })
		checker := newChecker(want[name])
		_, err := r.Ledger.ReadSegment(ctx, there[i], func(l manifest.SegmentLine) error {
			checker.add(l)
			var e manifest.ErasureRecord
			if int64(l.Number) <= longest.Lines && l.Bad == nil && json.Unmarshal(l.Raw, &e) == nil && e.IsErasure() {
				sealed = append(sealed, e)
				for _, digest := range e.Digests {
					r.erased[digest] = true
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.evidence[name] = checker.n <= longest.Lines
		r.sum.Lines += checker.n
		for _, c := range checker.wrong(true) {
			r.find(Finding{Kind: LinesChanged, Seal: c.seal, File: there[i].File(), Detail: c.problem})
		}
	}
	r.sealed = manifest.ErasuresOf(sealed)
	if r.obeyed, err = r.Ledger.Erasures(ctx); err != nil {
		broken, ok := errors.AsType[*manifest.ErasuresError](err)
		if !ok {
			return err
		}
		r.find(Finding{Kind: LinesChanged, File: broken.File, Line: broken.Line, Detail: "it is not a record of an erasure or an expiry"})
	}
	return nil
}

// daySeals are the seals of one day.
type daySeals struct {
	day    string
	claims dayClaims
	newest map[string]sealedIn         // by filter
	files  map[string]manifest.Segment // sealed segments as stored, by name from the archive's root

	changed []changedFile

	unsure map[string]bool // recordings with a line in a file that is not as any seal signed it

	rowsUnsealed bool // calls/ has a segment that no seal names

	unsealed map[string]bool // segments without a seal, by name from the archive's root; checkClosings removes those in a day line
}

// changedFile is a finding about a file that is not as a seal says.
type changedFile struct {
	Finding
	sealed SealedLines // what the seal says
	unfit  bool        // the sealed day line has another size or hash of it
}

// changedAt returns the index of the finding that a file is not as a seal says, or -1.
func (d *daySeals) changedAt(file string, sealed SealedLines) int {
	return slices.IndexFunc(d.changed, func(f changedFile) bool { return f.File == file && f.sealed == sealed })
}

type sealedIn struct {
	seal int
	SealedDay
}

// checkDays checks the days of the seals, some in parallel, because reading lines is bound by the CPU.
func (r *auditing) checkDays(ctx context.Context, trusted []*stored) error {
	days := map[string]*daySeals{}
	for _, s := range trusted {
		for _, d := range s.Days {
			one := days[d.Day]
			if one == nil {
				one = &daySeals{day: d.Day, claims: newDayClaims(), newest: map[string]sealedIn{}, files: map[string]manifest.Segment{}, unsure: map[string]bool{}, unsealed: map[string]bool{}}
				days[d.Day] = one
			}
			one.newest[d.Filter] = sealedIn{s.Number, d} // seals are in order
			one.claims.add(s.Number, &d)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, day := range sortedKeys(days) {
		group.Go(func() error {
			if err := r.checkDay(ctx, days[day]); err != nil {
				return fmt.Errorf("audit day %s: %w", day, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (r *auditing) checkDay(ctx context.Context, d *daySeals) error {
	r.count(func(s *Audited) { s.Days++ })
	folded, err := r.checkTree(ctx, d, manifest.TreeManifest)
	if err != nil {
		return err
	}
	if _, err := r.checkTree(ctx, d, manifest.TreeCalls); err != nil {
		return err
	}
	later := len(d.unsealed) > 0
	r.count(func(a *Audited) { a.Unsealed += len(d.unsealed) })
	changed, err := r.checkClosings(ctx, d)
	for _, f := range d.changed {
		if f.unfit {
			f.Detail += "; so closed.json does not fit it either"
		}
		r.find(f.Finding)
	}
	if err != nil {
		return err
	}
	if changed || later {
		if err := r.checkLater(ctx, d, folded, changed); err != nil {
			return err
		}
	}
	return r.checkAudio(ctx, d, folded)
}

// checkTree reads the sealed segments of a day in one tree, and returns the state after their
// lines.
func (r *auditing) checkTree(ctx context.Context, d *daySeals, tree manifest.Tree) (*manifest.Day, error) {
	there, err := r.Ledger.Segments(ctx, tree, d.day)
	if err != nil {
		return nil, err
	}
	want := d.claims[tree]
	for _, name := range sortedKeys(want) {
		if !slices.ContainsFunc(there, func(s manifest.StoredSegment) bool { return s.Name == name }) {
			f := Finding{Kind: LinesMissing, Seal: want[name][0].seal, Day: d.day, File: string(tree) + "/" + d.day + "/" + name, Detail: "it is sealed, but missing"}
			if f.Resealed = !d.isNamed(tree, name); f.Resealed {
				f.Detail += "; later seals sign the day without it"
			}
			r.find(f)
		}
	}
	var folded *manifest.Day
	for _, s := range there {
		claims, ok := want[s.Name]
		if !ok {
			d.unsealed[s.File()] = true
			d.rowsUnsealed = d.rowsUnsealed || tree == manifest.TreeCalls
			continue
		}
		checker := newChecker(claims)
		visit := func(l manifest.SegmentLine) error {
			checker.add(l)
			if l.Stub && !r.erased[string(l.Digest)] {
				r.find(Finding{
					Kind: StubUnexplained, Seal: claims[0].seal, Day: d.day, File: s.File(), Line: l.Number,
					Detail: "the line was erased, but no sealed erasure covers it",
				})
			}
			return nil
		}
		if tree == manifest.TreeManifest {
			folded, d.files[s.File()], err = r.Ledger.Fold(ctx, folded, d.day, s, visit)
		} else {
			d.files[s.File()], err = r.Ledger.ReadSegment(ctx, s, visit)
		}
		if err != nil {
			return nil, err
		}
		r.count(func(a *Audited) { a.Lines += checker.n })
		wrong := checker.wrong(false)
		f := Finding{Kind: LinesChanged, Day: d.day, File: s.File()}
		if len(wrong) > 0 {
			past, err := readRepairs(ctx, r.Ledger, d.day)
			if err != nil {
				return nil, err
			}
			if aside := past.copyOf(tree, s.Name); aside != "" {
				f.Kind = LinesRepaired
				f.Detail = "; verify --repair has left out lines that it could not read, of which " + aside + " is the copy"
			}
		}
		if len(wrong) == len(claims) && tree == manifest.TreeManifest {
			if err := d.doubt(ctx, r.Ledger, s); err != nil {
				return nil, err
			}
		}
		for _, c := range wrong {
			if d.changedAt(s.File(), c.SealedLines) >= 0 {
				continue // a later seal says the same of the file
			}
			of := f
			of.Seal, of.Detail = c.seal, c.problem+f.Detail
			d.changed = append(d.changed, changedFile{Finding: of, sealed: c.SealedLines})
		}
	}
	return folded, nil
}

// doubt notes the recordings of a file: a seal does not say which of its lines differs.
func (d *daySeals) doubt(ctx context.Context, ledger *manifest.Ledger, s manifest.StoredSegment) error {
	return ledger.ReadLines(ctx, s, func(l manifest.SegmentLine) error {
		if one, ok, err := l.Recording(); ok && err == nil {
			d.unsure[one.RecordingID] = true
		}
		return nil // verify reports faults
	})
}

// isNamed reports whether a newest seal of the day names a file.
func (d *daySeals) isNamed(tree manifest.Tree, name string) bool {
	for _, sealed := range d.newest {
		list := sealed.Segments
		if tree == manifest.TreeCalls {
			list = sealed.CallsSegments
		}
		if slices.ContainsFunc(list, func(s SealedLines) bool { return s.Name == name }) {
			return true
		}
	}
	return false
}

// lastSeal is the number of the newest seal of the day.
func (d *daySeals) lastSeal() int {
	last := 0
	for _, s := range d.newest {
		last = max(last, s.seal)
	}
	return last
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
