package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/doctor"
	"convoso-archiver/manifest"
)

// wholeFacts returns the facts of a healthy setup, on disk or in S3.
func wholeFacts(inS3 bool) *facts {
	way := doctor.Steps{Target: "x:443", Name: "x", Addresses: 2, Dialled: "192.0.2.1:443", Connected: "192.0.2.1:443", TLS: true, Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Answered: true}
	archive := doctor.Archive{Archive: manifest.Archive{ID: "abc", APIURL: "https://api.example.com/v1", TimeZone: "UTC", AccountID: "7"}, DayBytes: 1 << 30}
	state := doctor.State{Dir: "/s", Nearest: "/s", Free: 1 << 40}
	f := &facts{
		zone: "UTC", apiURL: "https://api.example.com/v1", endpoint: "https://s3.example.com", tokenFrom: "CONVOSO_AUTH_TOKEN", onDisk: !inS3, state: &state,
		api:   &doctor.API{Steps: way, SkewKnown: true, Days: 1, Calls: 9, Recorded: 30, Account: "7", GapKnown: true},
		media: &doctor.Media{Steps: way, Asked: 1, Origin: "media.example.com", Status: 200, Audio: true},
	}
	if inS3 {
		f.bucket = &doctor.Bucket{Steps: way, Tried: &store.Trial{Name: "p/manifest/conditional-write-probe", Honours: true}, Archive: archive}
	} else {
		f.folder = &doctor.Folder{State: doctor.State{Dir: "/a", Nearest: "/a", Free: 1 << 40}, Archive: archive}
	}
	return f
}

// TestDiagnose: from facts to problems, in addition to the cases of the end-to-end tests.
func TestDiagnose(t *testing.T) {
	timeout := errors.New("timed out")
	for name, c := range map[string]struct {
		s3   bool
		when func(*facts)
		want string // lines of checks that are neither ok nor skipped
		skip string // names of skipped checks
		code int
	}{
		"well, on disk": {},
		"well, in S3":   {s3: true},
		"no destination and no state folder": {when: func(f *facts) {
			f.settings = []error{misuse("give --dest", "no destination is given"), misuse("give --state-dir", "no home folder")}
			f.folder, f.state = nil, nil
		}, want: "failed configuration no destination is given: give --dest\nfailed configuration no home folder: give --state-dir", skip: "state-folder destination", code: 2},
		"wrong address of the API": {when: func(f *facts) { f.settings = []error{misuse("b", "a")}; f.api, f.media = nil, nil },
			want: "failed configuration a: b", skip: "api-dns api-connect api-tls api-answer call-logs clock time-zone media-dns media-connect media-tls media-audio", code: 2},
		"note of a variable": {when: func(f *facts) { f.notes = []string{"X has no effect"} }, want: "warning configuration X has no effect"},
		"no name server answers": {when: func(f *facts) {
			f.api.Steps = doctor.Steps{Target: "x:443", Name: "x", Err: timeout}
			f.media.Asked = 0
		},
			want: "failed api-dns no name server answered for x in time: check --api-url and this machine's name servers",
			skip: "api-connect api-tls api-answer call-logs clock time-zone media-dns media-connect media-tls media-audio", code: 1},
		"nobody answers at the address": {when: func(f *facts) {
			f.api.Steps = doctor.Steps{Target: "x:443", Name: "x", Addresses: 1, Dialled: "192.0.2.1:443", Err: timeout}
			f.media.Asked = 0
		}, want: "failed api-connect 192.0.2.1:443 did not answer in time: check --api-url, the firewall and the proxy variables",
			skip: "api-tls api-answer call-logs clock time-zone media-dns media-connect media-tls media-audio", code: 1},
		"a proxy that lets nothing through": {when: func(f *facts) {
			f.proxies = []proxied{{"api.example.com", "proxy:3128", true}}
			f.api.Steps = doctor.Steps{Target: "x:443", Dialled: "192.0.2.9:3128", Connected: "192.0.2.9:3128", Err: errors.New("Forbidden")}
			f.media.Asked = 0
		}, want: "failed api-tls the proxy proxy:3128 did not connect to api.example.com: check HTTPS_PROXY and the proxy's rules, or name the host in NO_PROXY",
			skip: "api-answer call-logs clock time-zone media-dns media-connect media-tls media-audio", code: 1},
		"no handshake": {s3: true, when: func(f *facts) {
			f.bucket.Steps = doctor.Steps{Target: "x:443", Dialled: "192.0.2.9:443", Connected: "192.0.2.9:443", TLS: true, Err: timeout}
			f.bucket.Tried = nil
		}, want: "failed store-tls s3.example.com did not answer the handshake in time: check --s3-endpoint and the firewall",
			skip: "store-list store-write conditional-writes archive", code: 1},
		"two verdicts": {when: func(f *facts) { f.api.Skew = -2 * time.Hour; f.tokenErr = misuse("set it", "no token") },
			want: "failed token no token: set it\nfailed clock this machine's clock is 2h behind the API's, and archive closes no day when the difference exceeds 1h: set this machine's clock by NTP", code: 2},
		"clock within bounds":   {when: func(f *facts) { f.api.Skew = 5 * time.Minute }},
		"clock out of bounds":   {when: func(f *facts) { f.api.Skew = 5*time.Minute + time.Second }, want: "warning clock this machine's clock is 5m1s ahead of the API's: set this machine's clock by NTP"},
		"API without a date":    {when: func(f *facts) { f.api.SkewKnown = false }, skip: "clock"},
		"too few recordings":    {when: func(f *facts) { f.api.GapKnown = false }, skip: "time-zone"},
		"unknown zone":          {when: func(f *facts) { f.zoneUnknown, f.zone = true, "" }, skip: "time-zone"},
		"no recordings at all":  {when: func(f *facts) { f.api.GapKnown = false; f.media.Asked = 0 }, skip: "time-zone media-dns media-connect media-tls media-audio"},
		"zone of an archive":    {when: func(f *facts) { f.api.ZoneGap = -time.Hour }, want: "warning time-zone the times in file names and the calls' dates are 1h apart in UTC: check --time-zone; the archive was made with the present zone, so another zone needs another --dest"},
		"zone of a new archive": {when: func(f *facts) { f.api.ZoneGap, f.folder.Archive.Err = -time.Hour, fs.ErrNotExist }, want: "failed time-zone the times in file names and the calls' dates are 1h apart in UTC: check --time-zone", code: 2},
		"zone that fits":        {when: func(f *facts) { f.api.ZoneGap, f.api.ZoneFits, f.folder.Archive.Err = 1, "Asia/Manila", fs.ErrNotExist }},
		"API that gives nothing": {when: func(f *facts) {
			f.api.Err = fmt.Errorf("%w: %w", fetcher.ErrUnreachable, &fetcher.APIError{Op: "list calls", Status: 500})
			f.media.Asked = 0
		},
			want: "failed api-answer the API answered 500: check --api-url, and run doctor again later; if the answer stays the same, ask the vendor about it",
			skip: "call-logs time-zone media-dns media-connect media-tls media-audio", code: 1},
		"media host that is busy": {when: func(f *facts) { f.media.Err = &fetcher.RefusedError{Status: 429} }, want: "warning media-audio media.example.com asks to slow down (status 429): run doctor again when no other program downloads"},
		"link that is none":       {when: func(f *facts) { f.media.Steps = doctor.Steps{Err: fetcher.ErrBadLink}; f.media.Audio = false }, want: "failed media-audio a link is not a valid URL: ask the vendor about the links of this account", skip: "media-dns media-connect media-tls", code: 1},
		"folder that hangs": {when: func(f *facts) {
			f.folder = &doctor.Folder{State: doctor.State{Err: doctor.ErrHangs}, Archive: doctor.Archive{Err: doctor.ErrHangs}}
		},
			want: "failed destination the file system does not answer: check --dest", skip: "archive lock free-space", code: 1},
		"folder that does not lock": {when: func(f *facts) { f.folder.LockErr = errors.New("lock archive: the file system does not lock files") }, want: "failed lock lock archive: the file system does not lock files", code: 1},
		"folder below a file":       {when: func(f *facts) { f.folder.Err = fmt.Errorf("open folder: %w", syscall.ENOTDIR) }, want: "failed destination open folder: not a directory: check --dest", skip: "lock", code: 2},
		"room for ten days":         {when: func(f *facts) { f.folder.Free = 10 << 30 }, want: "warning free-space 10.7 GB is free, which is enough for 10 days of 1.1 GB each, like the newest days: free some space, or choose another --dest"},
		"system without statfs":     {when: func(f *facts) { f.folder.FreeErr = errors.ErrUnsupported }, skip: "free-space"},
		"little room for parts":     {s3: true, when: func(f *facts) { f.state.Free = 1 << 20 }, want: "warning state-folder /s can be written, and has 1.0 MB free for downloads in progress: free some space, or give another --state-dir"},
		"no conditions wanted":      {s3: true, when: func(f *facts) { f.noConditions, f.bucket.Tried.Honours = true, false }},
		"store in trouble":          {s3: true, when: func(f *facts) { f.bucket.TriedErr = errors.New("write file: status 500") }, want: "failed store-write write file: status 500: check --dest and the flags for S3 in archive --help", skip: "conditional-writes", code: 1},
		"bucket without region":     {s3: true, when: func(f *facts) { *f.bucket = doctor.Bucket{Opened: errors.New("open S3: no region: set --s3-region")} }, want: "failed destination open S3: no region: set --s3-region: check --dest and the flags for S3 in archive --help", skip: "store-list store-write conditional-writes archive", code: 2},
		"unknown account":           {s3: true, when: func(f *facts) { f.api.Account = "" }},
		"another account":           {s3: true, when: func(f *facts) { f.api.Account = "8" }, want: "failed archive the archive belongs to account 7, the token to account 8: use a token of that account, or another --dest", code: 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := wholeFacts(c.s3)
			if c.when != nil {
				c.when(f)
			}
			checks := diagnose(f)
			var bad, skipped []string
			for _, check := range checks {
				switch check.State {
				case stateOK:
					if check.Saw == "" || check.Do != "" {
						t.Errorf("%+v", check)
					}
				case stateSkipped:
					skipped = append(skipped, check.Name)
				default:
					line := check.State + " " + check.Name + " " + check.Saw
					if check.Do != "" {
						line += ": " + check.Do
					}
					bad = append(bad, line)
				}
			}
			if got := strings.Join(bad, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if got := strings.Join(skipped, " "); got != c.skip {
				t.Errorf("skipped %s, want %s", got, c.skip)
			}
			if got := outcomeOf(checks); got.code != c.code || got.failed != (c.code != 0) {
				t.Errorf("outcome %+v, want code %d", got, c.code)
			}
		})
	}
}

// TestWithoutSkips: several skipped checks become one line, a single one stays in place.
func TestWithoutSkips(t *testing.T) {
	one := []check{fine("token", "found"), skip("clock", "the API's answer had no time"), fine("lock", "free")}
	if got := withoutSkips(one); !slices.Equal(got, one) {
		t.Errorf("got %v", got)
	}
	got := withoutSkips([]check{skip("api-dns", "configuration failed"), fine("token", "found"), skip("api-tls", "configuration failed"), skip("clock", "no calls")})
	want := []check{fine("token", "found"), skip("3 checks", "api-dns, api-tls (configuration failed); clock (no calls)")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
