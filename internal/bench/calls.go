// Makes an account with calls like those of a call centre.

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"convoso-archiver/manifest"
)

// account is a generated account whose calls look like those of a call centre: few agents, campaigns and statuses of
// very different sizes, many names, numbers that seldom repeat, comments on few calls.
type account struct {
	first  time.Time
	perDay int

	agents, firstNames, lastNames, vocabulary []string
}

const (
	sharesRecording = 0.3
	sharesComment   = 0.15
)

func newAccount(first time.Time, perDay int) *account {
	a := &account{first: first, perDay: perDay}
	r := rand.New(rand.NewPCG(1, 1))
	a.firstNames, a.lastNames, a.vocabulary = inventWords(r, 600), inventWords(r, 20_000), inventWords(r, 3_000)
	for range 200 {
		a.agents = append(a.agents, anyOf(r, a.firstNames)+" "+anyOf(r, a.lastNames))
	}
	return a
}

// inventWords makes pronounceable words.
func inventWords(r *rand.Rand, n int) []string {
	words := make([]string, 0, n)
	for known := map[string]bool{}; len(words) < n; {
		var w strings.Builder
		for range 2 + r.IntN(2) {
			w.WriteString(anyOf(r, strings.Fields("b br c ch d f g gr h j k l m n p r s st t tr v w z")))
			w.WriteString(anyOf(r, strings.Fields("a e i o u ai ee an en in on ar er or")))
		}
		if word := strings.ToUpper(w.String()[:1]) + w.String()[1:]; !known[word] {
			known[word] = true
			words = append(words, word)
		}
	}
	return words
}

func anyOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// skewed picks a value; the first ones come far more often than the last.
func skewed[T any](r *rand.Rand, from []T) T {
	x := r.Float64()
	return from[int(x*x*x*float64(len(from)))]
}

func (a *account) day(i int) string { return a.first.AddDate(0, 0, i).Format(time.DateOnly) }

// calls makes the calls of a day, in chronological order; the result is deterministic.
func (a *account) calls(i int) []madeCall {
	r := rand.New(rand.NewPCG(uint64(i), 2))
	calls := make([]madeCall, a.perDay)
	for n := range calls {
		serial := i*a.perDay + n
		c := madeCall{
			id: 9_000_000_000 + serial, lead: 40_000_000 + r.IntN(3_000_000), agent: int(r.Float64() * float64(len(a.agents))), campaign: int(skewedShare(r) * 12),
			status: int(skewedShare(r) * float64(len(statuses))), phone: fmt.Sprintf("1%d%07d", 201+r.IntN(799), r.IntN(1e7)),
			first: skewed(r, a.firstNames), last: skewed(r, a.lastNames), length: int(r.ExpFloat64() * 90), second: n * 72_000 / a.perDay,
		}
		if r.Float64() < sharesComment {
			var comment []string
			for range 3 + r.IntN(8) {
				comment = append(comment, strings.ToLower(skewed(r, a.vocabulary)))
			}
			c.comment = strings.Join(comment, " ")
		}
		if r.Float64() < sharesRecording {
			c.recording = 4_700_000_000 + serial
		}
		calls[n] = c
	}
	return calls
}

func skewedShare(r *rand.Rand) float64 {
	x := r.Float64()
	return x * x
}

var statuses = strings.Fields("A HU N DNC SALE CB B DROP AM NI XFER LM WN DC NQ QUAL PAID HOT COLD TEST")

// madeCall is a call; recording is 0 for none.
type madeCall struct {
	id, lead, agent, campaign, status, length, second, recording int
	phone, first, last, comment                                  string
}

// row is the call as the API sends it.
func (a *account) row(c madeCall, at time.Time) []byte {
	return fmt.Appendf(nil, `{"id":"%d","lead_id":"%d","list_id":"%d","campaign_id":"%d","campaign":"Campaign %d","user":%q,"user_id":"%d",`+
		`"phone_number":"%s","number_dialed":"%s","first_name":"%s","last_name":"%s","status":"%s","status_name":"%s status","call_length":"%d",`+
		`"call_date":"%s","agent_comment":"%s","queue_id":null,"called_count":"%d","call_type":"OUTBOUND","caller_id_displayed":"15550001234",`+
		`"term_reason":"AGENT","originating_agent_id":"%d","queue_position":"0","queue_seconds":"0.00","started_by":"dialer","inbound_number":"",`+
		`"hangup_by":"lead","wrap_up_time":"12","hold_time":"0","talk_time":"%d","recording":[]}`,
		c.id, c.lead, c.lead%40, 100+c.campaign, c.campaign, a.agents[c.agent], 3000+c.agent, c.phone, c.phone, c.first, c.last, statuses[c.status], statuses[c.status],
		c.length, at.Format(time.DateTime), c.comment, c.lead%20, 3000+c.agent, max(0, c.length-20))
}

// writeDays writes days into the archive in a folder, as a run does, and closes them.
func (a *account) writeDays(ctx context.Context, folder string, first, days int) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	defer root.Close()
	ledger, err := manifest.OpenDir(root, manifest.Options{})
	if err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	defer func() { err = errors.Join(err, ledger.Close(ctx)) }()
	if first == 0 {
		if err := ledger.SaveArchive(ctx, manifest.Archive{AccountID: accountID, APIURL: "https://api.convoso.com/v1", TimeZone: zone}); err != nil {
			return fmt.Errorf("make archive: %w", err)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i := first; i < first+days; i++ {
		group.Go(func() error { return a.writeDay(groupCtx, ledger, i) })
	}
	return group.Wait()
}

func (a *account) writeDay(ctx context.Context, ledger *manifest.Ledger, i int) error {
	day, err := ledger.Load(ctx, a.day(i))
	if err != nil {
		return fmt.Errorf("make day: %w", err)
	}
	midnight := a.first.AddDate(0, 0, i)
	noted := midnight.Add(80 * time.Hour)
	var calls []manifest.Call
	var recordings []manifest.Recording
	for _, c := range a.calls(i) {
		at := midnight.Add(time.Duration(c.second) * time.Second)
		calls = append(calls, manifest.Call{CallID: fmt.Sprint(c.id), Time: noted, Row: a.row(c, at)})
		if c.recording == 0 {
			continue
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, c.recording)))
		recordings = append(recordings, manifest.Recording{
			RecordingID: fmt.Sprint(c.recording), Outcome: manifest.Archived, Time: noted, CallID: fmt.Sprint(c.id), FirstSeen: noted, Attempts: 1, Host: "admin-dt.convoso.com",
			SHA256: sum, Size: int64(8000 * (1 + c.length)), ContentType: "audio/mpeg", ETag: sum[:32], Key: fmt.Sprintf("%s_%d_%s_%s.mp3", accountID, at.Unix(), c.phone, sum[:8]),
		})
	}
	if err = day.NoteCalls(ctx, calls); err == nil {
		err = day.Note(ctx, recordings...)
	}
	if err == nil {
		err = day.Close(ctx, manifest.DayLine{Kept: []string{"calls", "recordings"}, ListedAt: noted, Calls: len(calls), Time: noted})
	}
	if err != nil {
		return fmt.Errorf("make day: %w", err)
	}
	return nil
}
