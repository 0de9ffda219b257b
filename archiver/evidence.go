// Collects proof from this run that API and media hosts work.

package archiver

import (
	"sync"
	"time"

	"convoso-archiver/fetcher"
)

// evidence is what the API and the media hosts have shown in this run. It is safe for
// concurrent use.
type evidence struct {
	mu       sync.Mutex
	moment   int64 // counts events, so that their order is known
	lastGood int64 // moment of the last good audio of any host
	hosts    map[string]*hostEvidence

	rows, recorded map[fetcher.Date]bool // days known to have a call, a recording
	own            map[fetcher.Date]bool // days for which the run's own listings have a call
	calls          map[fetcher.Date]int  // calls of the completely listed days
}

type hostEvidence struct {
	good     int64
	bad      int       // temporary failures since the last good audio
	silent   time.Time // when the host became unreachable; zero: it answers
	probed   time.Time // last attempt since then
	refusing time.Time // when it started to answer only with requests to wait; zero: it does not
	denied   int       // links to it that --allow-host does not permit
	witness  answer
	oldest   time.Duration // maximum age of audio that this run archived from it, 0 for none
}

func newEvidence() *evidence {
	return &evidence{
		hosts: map[string]*hostEvidence{}, rows: map[fetcher.Date]bool{}, recorded: map[fetcher.Date]bool{},
		own: map[fetcher.Date]bool{}, calls: map[fetcher.Date]int{},
	}
}

// maxHosts bounds how many hosts are distinguished, because links are remote input. The rest count as otherHosts.
const (
	maxHosts   = 100
	otherHosts = "other hosts"
)

func (e *evidence) host(name string) *hostEvidence {
	h, ok := e.hosts[name]
	if !ok {
		if len(e.hosts) >= maxHosts {
			name = otherHosts
			if h, ok = e.hosts[name]; ok {
				return h
			}
		}
		h = &hostEvidence{}
		e.hosts[name] = h
	}
	return h
}

func (e *evidence) delivered(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moment++
	e.lastGood = e.moment
	h := e.host(host)
	h.good, h.bad, h.silent, h.refusing = e.moment, 0, time.Time{}, time.Time{}
}

// archived notes the age of audio that this run archived from a host. An age of less than 1 counts as 1, because 0 means
// none.
func (e *evidence) archived(host string, age time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.host(host)
	h.oldest = max(h.oldest, age, 1)
}

// refused notes an answer without good audio, and returns its moment.
func (e *evidence) refused(host string) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moment++
	h := e.host(host)
	h.silent, h.refusing = time.Time{}, time.Time{}
	return e.moment
}

// failed is like refused, for a temporary failure.
func (e *evidence) failed(host string) int64 {
	moment := e.refused(host)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.host(host).bad++
	return moment
}

// askedToWait is like refused, for an answer that asks to wait. It also returns how long the host has answered
// nothing else, counted from the last pause of the schedule; at least a nanosecond.
func (e *evidence) askedToWait(host string, resumed time.Time) (moment int64, refusing time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moment++
	h := e.host(host)
	h.silent = time.Time{}
	if h.refusing.IsZero() {
		h.refusing = time.Now()
	}
	if h.refusing.Before(resumed) {
		h.refusing = resumed
	}
	return e.moment, max(time.Since(h.refusing), 1)
}

// maxBad is the number of consecutive failures without good audio after which this run makes no
// further attempts.
const maxBad = 12

// isUnwell reports whether a host has failed many times and delivered nothing good.
func (e *evidence) isUnwell(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.host(host).bad >= maxBad
}

// maxRefusing is how long a host may only ask to wait before that counts as an outage.
const maxRefusing = 30 * time.Minute

// probeEvery is the interval between attempts to reach an unreachable host.
const probeEvery = 30 * time.Second

// mayTry reports whether a host may get a request now. An unreachable host is probed with one
// recording from time to time, while the others wait.
func (e *evidence) mayTry(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.host(host)
	if h.silent.IsZero() {
		return true
	}
	if time.Since(h.probed) < probeEvery {
		return false
	}
	h.probed = time.Now()
	return true
}

// unreached notes that a host could not be reached, and also returns for how long, counted from the
// last pause of the schedule; at least a nanosecond.
func (e *evidence) unreached(host string, resumed time.Time) (moment int64, silent time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moment++
	h := e.host(host)
	if h.silent.IsZero() {
		h.silent, h.probed = time.Now(), time.Now()
	}
	if h.silent.Before(resumed) {
		h.silent = resumed
	}
	return e.moment, max(time.Since(h.silent), 1)
}

// anyGood returns the moment of the last good audio of any host, 0 for none.
func (e *evidence) anyGood() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lastGood
}

// wellSince reports whether the host delivered good audio after a moment.
func (e *evidence) wellSince(host string, moment int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.host(host).good > moment
}

// forbidden counts a link to a host that is not allowed.
func (e *evidence) forbidden(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.host(host).denied++
}

// forbiddenHosts returns how many links point to each host that is not allowed.
func (e *evidence) forbiddenHosts() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := map[string]int{}
	for name, h := range e.hosts {
		if h.denied > 0 {
			counts[name] = h.denied
		}
	}
	return counts
}

// setWitness notes the result of a request for known good audio.
func (e *evidence) setWitness(host string, a answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.host(host).witness = a
}

func (e *evidence) facts(host string) hostFacts {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.host(host)
	return hostFacts{Good: h.good, AnyGood: e.lastGood, Witness: h.witness, Ever: h.oldest > 0, Oldest: h.oldest}
}

// sawCalls notes rows of a settled day.
func (e *evidence) sawCalls(day fetcher.Date, recorded bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rows[day] = true
	if recorded {
		e.recorded[day] = true
	}
}

// listed notes that a listing of the run, with its filter, has a call of a day.
func (e *evidence) listed(day fetcher.Date) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.own[day] = true
}

// listedOther reports whether the listings of the run have a call of another day.
func (e *evidence) listedOther(day fetcher.Date) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.own) > 1 || len(e.own) == 1 && !e.own[day]
}

// counted notes the number of calls in the complete listing of a day.
func (e *evidence) counted(day fetcher.Date, calls int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls[day] = calls
}

// callsOf returns the number of calls of a day, if this run knows it.
func (e *evidence) callsOf(day fetcher.Date) (int, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, ok := e.calls[day]
	return n, ok
}

// shown reports whether the API has shown a call, or a recording, of another day.
func (e *evidence) shown(day fetcher.Date, recorded bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	days := e.rows
	if recorded {
		days = e.recorded
	}
	return len(days) > 1 || len(days) == 1 && !days[day]
}
