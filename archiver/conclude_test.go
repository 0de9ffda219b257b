package archiver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// TestOutageWritesNothingOff lets a host fail for every recording of a day on which
// one more failure would make each of them final.
func TestOutageWritesNothingOff(t *testing.T) {
	day := daysAgo(t, 20)
	then := time.Now().Add(-15 * oneDay)
	for name, test := range map[string]struct {
		fault  convosotest.Fault
		prior  manifest.Recording
		giveUp time.Duration
	}{
		"refused, and to be given up": {convosotest.FaultForbidden,
			manifest.Recording{Outcome: manifest.Failed, Reason: "answer 403"}, 14 * oneDay},
		"not found, and to be given up": {convosotest.FaultNotFound,
			manifest.Recording{Outcome: manifest.Failed, Reason: "answer 500"}, 14 * oneDay},
		"not found for the second time": {convosotest.FaultNotFound,
			manifest.Recording{Outcome: manifest.Pending, Reason: manifest.NotFoundReason("another")}, 99 * oneDay},
	} {
		t.Run(name, func(t *testing.T) {
			server := simulate(t, convosotest.Config{FirstDay: string(day), CallsPerDay: mostRefused + 30, MediaDown: test.fault})
			a := archiveOf(t, server)
			var lines []manifest.Recording
			for recording := range server.Recordings() {
				line := test.prior
				line.RecordingID, line.Time, line.FirstSeen = recording.ID, then, then
				lines = append(lines, line)
			}
			a.note(day, lines...)
			patient := func(s *setup) { s.Config.GiveUp = test.giveUp }
			summary, err := a.run(day, day, patient)
			if !errors.Is(err, ErrOutage) {
				t.Errorf("the run ended with %v", err)
			}
			if summary.GivenUp != 0 || summary.Lost != 0 {
				t.Errorf("%d given up, %d lost", summary.GivenUp, summary.Lost)
			}
			if len(a.lines(day, "window")) > 0 {
				t.Error("a window is noted whose recordings have no lines")
			}
			server.SetMediaDown(convosotest.FaultNone)
			well := a.mustRun(day, patient)
			if well.Archived != len(lines) || well.DaysClosed != 1 {
				t.Errorf("then %d archived of %d, %d known as final, %d days closed", well.Archived, len(lines), well.Known, well.DaysClosed)
			}
		})
	}
}

// TestVerdictIsNotedWithoutAnOutage writes few recordings off: the same verdicts that
// an outage holds back.
func TestVerdictIsNotedWithoutAnOutage(t *testing.T) {
	day := daysAgo(t, 20)
	v := newVendor(t)
	v.rows[day] = []row{callAt("1", day, noon, v.recording("1"), v.recording("2"), v.recording("3"))}
	v.status["1"], v.status["2"] = http.StatusNotFound, http.StatusForbidden
	a := v.archive(t)
	then := time.Now().Add(-15 * oneDay)
	a.note(day,
		manifest.Recording{RecordingID: "1", Outcome: manifest.Pending, Time: then, Reason: manifest.NotFoundReason("another")},
		manifest.Recording{RecordingID: "2", Outcome: manifest.Failed, Time: then})
	summary := a.mustRun(day, nil)
	if summary.Lost != 1 || summary.GivenUp != 1 || summary.Archived != 1 || summary.DaysClosed != 1 {
		t.Errorf("lost %d, given up %d, archived %d, closed %d", summary.Lost, summary.GivenUp, summary.Archived, summary.DaysClosed)
	}
	if got := a.recordings(day); got["1"].Outcome != manifest.Lost || got["2"].Outcome != manifest.Failed {
		t.Errorf("noted %q and %q", got["1"].Outcome, got["2"].Outcome)
	}
}

// troubledFind is a store whose first look-ups fail.
type troubledFind struct {
	Store
	err  error
	left atomic.Int64
}

func (f *troubledFind) Find(ctx context.Context, keys []string, id string) (store.Stored, bool, error) {
	if f.left.Add(-1) >= 0 {
		return store.Stored{}, false, f.err
	}
	return f.Store.Find(ctx, keys, id)
}

// passingError returns an error of a real store that is busy.
func passingError(t *testing.T) error {
	t.Helper()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	s, err := store.OpenS3(t.Context(), store.S3Options{Bucket: "bucket", Endpoint: busy.URL, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Put(t.Context(), store.Object{Keys: []string{"a"}, Body: strings.NewReader("a"), Size: 1, RecordingID: "1"})
	if !store.IsRetriable(err) {
		t.Fatalf("not an error that passes: %v", err)
	}
	return err
}

// TestLookUpBeforeLossFails writes a recording off only after the store could say
// that it does not have it.
func TestLookUpBeforeLossFails(t *testing.T) {
	day := daysAgo(t, 30)
	for name, test := range map[string]struct {
		err   error
		times int64
		want  manifest.Outcome
	}{
		"once, and it passes": {passingError(t), 1, manifest.Lost},
		"for good":            {errors.New("look up object: not allowed"), 1 << 40, manifest.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.rows[day] = []row{callAt("1", day, noon, v.recording("111"), v.recording("112"))}
			v.status["111"] = http.StatusNotFound
			a := v.archive(t)
			summary := a.mustRun(day, func(s *setup) {
				s.Config.PurgeAfter = 5 * oneDay
				find := &troubledFind{Store: s.Store, err: test.err}
				find.left.Store(test.times)
				s.Store = find
			})
			if got := a.recordings(day)["111"].Outcome; got != test.want {
				t.Errorf("noted as %q, want %q", got, test.want)
			}
			lost := test.want == manifest.Lost
			if (summary.Lost == 1) != lost || (summary.Pending == 1) == lost || summary.Archived != 1 || a.closed(day) != lost {
				t.Errorf("lost %d, pending %d, archived %d, closed %d", summary.Lost, summary.Pending, summary.Archived, summary.DaysClosed)
			}
		})
	}
}

// TestAdoptionBeforeLoss has the body of a recording in the store, under a name that
// a killed run may have chosen, and at the source no more.
func TestAdoptionBeforeLoss(t *testing.T) {
	day := daysAgo(t, 30)
	for name, test := range map[string]struct {
		listed string // file name in the row
		stored string
		body   []byte
	}{
		"name of an MP3":        {"call.mp3", "call.mp3", someMP3()},
		"without a name":        {"", "111.mp3", someMP3()},
		"MP3 named as a WAV":    {"call.wav", "call.mp3", someMP3()},
		"WAV named as an MP3":   {"call.mp3", "call.wav", someWAV()},
		"name of a WAV":         {"call.wav", "call.wav", someWAV()},
		"MP3 with the id in it": {"call.mp3", "call-111.mp3", someMP3()},
		"WAV with the id in it": {"call.mp3", "call-111.wav", someWAV()},
	} {
		for _, gone := range []string{"not found", "not listed", "not found after it had no link", "not listed after it had no link"} {
			t.Run(name+", "+gone, func(t *testing.T) {
				v := newVendor(t)
				recording := v.recording("111")
				recording.Filename = test.listed
				listing := func(r vendorRecord) []row { return []row{callAt("1", day, noon, r, v.recording("9"))} }
				v.rows[day] = listing(recording)
				v.status["111"] = http.StatusNotFound // a first run notes that it waits
				a := v.archive(t)
				if strings.HasSuffix(gone, "no link") {
					unlinked := recording
					unlinked.Link = nil
					v.rows[day] = listing(unlinked)
				}
				if gone != "not found" {
					a.mustRun(day, nil)
				}
				s := a.open()
				if _, err := s.Store.Put(t.Context(), objectOf("111", test.stored, test.body)); err != nil {
					t.Fatal(err)
				}
				s.finish()
				v.change(func(v *vendor) {
					v.rows[day] = listing(recording)
					if strings.HasPrefix(gone, "not listed") {
						v.rows[day] = []row{callAt("1", day, noon, v.recording("9"))}
					}
				})
				summary := a.mustRun(day, func(s *setup) { s.Config.PurgeAfter = 5 * oneDay })
				line := a.recordings(day)["111"]
				if line.Outcome != manifest.Archived || line.Key != test.stored || line.Size != int64(len(test.body)) {
					t.Errorf("noted as %q under a key of %d bytes, %d bytes large", line.Outcome, len(line.Key), line.Size)
				}
				if summary.Adopted != 1 || summary.Lost != 0 || summary.DaysClosed != 1 {
					t.Errorf("adopted %d, lost %d, closed %d", summary.Adopted, summary.Lost, summary.DaysClosed)
				}
			})
		}
	}
}

// TestFilteredListingWritesNothingOff lists a part of a day: what is not in it is not
// gone.
func TestFilteredListingWritesNothingOff(t *testing.T) {
	day := daysAgo(t, 30)
	v := newVendor(t)
	v.rows[day] = []row{callAt("1", day, noon, v.recording("111"))}
	a := v.archive(t)
	a.note(day, manifest.Recording{RecordingID: "222", Outcome: manifest.Pending, Time: time.Now().Add(-oneDay)})
	part := a.mustRun(day, func(s *setup) { s.Config.Filter = fetcher.Filter{Status: "SALE"} })
	if part.Lost != 0 {
		t.Error("written off by a listing that could not hold it")
	}
	a.mustRun(day, nil)
	if got := a.recordings(day)["222"].Outcome; got != manifest.Lost {
		t.Errorf("noted as %q by the whole listing", got)
	}
}
