package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/evidence"
)

type held struct {
	Calls      int               `json:"calls"`
	Recordings int               `json:"recordings"`
	New        int               `json:"new"`
	Erased     int               `json:"erased"`
	Erasing    int               `json:"erasing"`
	NotHeld    []evidence.HeldID `json:"not_held"`
	Hidden     []evidence.HeldID `json:"hidden"`
	LegalHolds bool              `json:"legal_holds"`
	On         int               `json:"legal_holds_on"`
	Off        int               `json:"legal_holds_off"`
	Cases      []struct {
		Case     string            `json:"case"`
		Released *string           `json:"released"`
		Calls    int               `json:"calls"`
		IDs      []evidence.HeldID `json:"ids"`
		NotSet   []evidence.HeldID `json:"not_set"`
		LeftOn   []evidence.HeldID `json:"left_on"`
	} `json:"cases"`
}

// hold runs the command hold with its words, and flags.
func (a *archive) hold(code int, words []string, args ...string) (h held) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.other(code, "hold", append(append([]string{"--json"}, args...), words...)...).stdout), &h); err != nil {
		a.t.Fatal(err)
	}
	return h
}

// holdBucket is an archive in a bucket with Object Lock.
func holdBucket(t *testing.T) *bucket {
	t.Helper()
	b := onS3(t, threeDays(t, 82), false)
	b.in(b.server.NewLockBucket(t, "held", 0))
	b.keepsVersions()
	b.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
	return b
}

// TestHold holds two days for one case and the second of them for another, in a folder and in a bucket without locks.
func TestHold(t *testing.T) {
	for _, where := range []string{"disk", "s3"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			server := threeDays(t, 82)
			a := onDisk(t, server)
			if where == "s3" {
				a = onS3(t, server, false).archive
			}
			a.run("--start-time", daysAgo(10), "--end-time", daysAgo(8)).want(t, 0)
			got := a.hold(0, []string{"add", "Smith v. Acme"}, "--start-time", daysAgo(10), "--end-time", daysAgo(9))
			if got.Calls != 40 || got.Recordings != 40 || got.New != 40 || got.LegalHolds {
				t.Errorf("added: %+v", got)
			}
			if got := a.hold(0, []string{"add", "Smith v. Acme"}, "--start-time", daysAgo(10), "--end-time", daysAgo(9)); got.New != 0 || got.Calls != 40 {
				t.Errorf("added again: %+v", got)
			}
			a.hold(0, []string{"add", "other"}, "--start-time", daysAgo(9), "--end-time", daysAgo(8))
			one := a.hold(0, []string{"list", "other"}).Cases[0].IDs[0]
			history := a.other(0, "audit", one.Recording).stdout
			if strings.Count(history, " held ") != 2 || !strings.Contains(history, "for the case Smith v. Acme") {
				t.Errorf("the history of a recording of both cases:\n%s", history)
			}
			if got := a.hold(0, []string{"release", "Smith v. Acme"}); got.Calls != 40 {
				t.Errorf("released: %+v", got)
			}
			list := a.hold(0, []string{"list"}).Cases
			if len(list) != 2 || list[0].Released == nil || list[0].Calls != 40 || list[1].Released != nil || list[1].Calls != 40 {
				t.Errorf("the list: %+v", list)
			}
			if ids := a.hold(0, []string{"list", "Smith v. Acme"}).Cases[0].IDs; len(ids) != 40 {
				t.Errorf("%d ids of a case that was released", len(ids))
			}
			wantSaid(t, a.other(0, "hold", "list").stdout, ", held 40 calls, 40 recordings\n")
			if text := a.other(0, "hold", "release", "Smith v. Acme").stdout; !strings.HasPrefix(text, "already released on ") {
				t.Errorf("released again: %s", text)
			}
			if text := a.other(0, "hold", "add", "other", "--with-recording").stdout; (where == "s3") != strings.Contains(text, "the bucket has no Object Lock") || (where == "disk") != strings.Contains(text, "legal hold   none in a folder: ") {
				t.Errorf("%s", text)
			}
			a.other(0, "verify")
			if got := a.hold(3, []string{"add", "third"}, "--id", "no-such-call"); got.New != 0 || len(a.hold(0, []string{"list"}).Cases) != 2 {
				t.Errorf("nothing fits: %+v", got)
			}
		})
	}
}

// TestLegalHold sets legal holds in the bucket, is stopped in the middle, and clears those that no case holds.
func TestLegalHold(t *testing.T) {
	t.Parallel()
	b := holdBucket(t)
	var set atomic.Int32
	stopAt := func(n int32) {
		set.Store(0)
		b.trouble(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Method != http.MethodPut || !r.URL.Query().Has("legal-hold") || set.Add(1) <= n {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		})
	}
	stopAt(7)
	if r := b.other(1, "hold", "add", "Smith v. Acme", "--workers", "1", "--start-time", daysAgo(10), "--end-time", daysAgo(9)); !strings.Contains(r.stderr, "run the same command again") {
		t.Errorf("stopped: %s", r.stderr)
	}
	b.trouble(nil)
	if list := b.hold(3, []string{"list"}).Cases; len(list) != 1 || list[0].Calls != 40 || len(list[0].NotSet) != 33 || len(list[0].LeftOn) != 0 {
		t.Errorf("the list: %+v", list)
	}
	if r := b.other(4, "verify"); !strings.Contains(r.stdout, "damaged: 33 recordings without the legal hold of a case, in 3 days") {
		t.Errorf("verify: %s", r.stdout)
	}
	if got := b.hold(0, []string{"add", "Smith v. Acme"}); !got.LegalHolds || got.On != 40 || got.New != 0 {
		t.Errorf("finished: %+v", got)
	}
	b.hold(0, []string{"add", "other"}, "--start-time", daysAgo(9), "--end-time", daysAgo(8))
	b.hold(0, []string{"list"})
	b.other(0, "verify")
	b.checkHeld(60)

	stopAt(7)
	b.hold(1, []string{"release", "Smith v. Acme"}, "--workers", "1")
	b.trouble(nil)
	if list := b.hold(3, []string{"list"}).Cases; len(list) != 2 || list[0].Released == nil || len(list[0].LeftOn) != 13 || len(list[1].LeftOn)+len(list[1].NotSet) > 0 {
		t.Errorf("the list: %+v", list)
	}
	if got := b.hold(0, []string{"release", "Smith v. Acme"}); got.On != 20 || got.Off != 20 {
		t.Errorf("released: %+v", got)
	}
	b.hold(0, []string{"list"})
	b.checkHeld(40)
}

// checkHeld tries to delete every recording with all permissions, and counts those that stay.
func (b *bucket) checkHeld(want int) {
	b.t.Helper()
	opened := b.store()
	defer opened.Close()
	stayed := 0
	for info, err := range opened.List(b.t.Context(), "") {
		if err != nil {
			b.t.Fatal(err)
		}
		locks, err := opened.Locks(b.t.Context(), info.Key)
		if err != nil || len(locks) != 1 {
			b.t.Fatalf("%+v, %v", locks, err)
		}
		if !locks[0].LegalHold {
			continue
		}
		_, err = b.server.Client().DeleteObject(b.t.Context(), &s3.DeleteObjectInput{
			Bucket: &b.server.Bucket, Key: aws.String("pre fix/" + info.Key), VersionId: &locks[0].Version, BypassGovernanceRetention: aws.Bool(true),
		})
		if err != nil {
			stayed++
		}
	}
	if stayed != want {
		b.t.Errorf("%d recordings are held, want %d", stayed, want)
	}
}
