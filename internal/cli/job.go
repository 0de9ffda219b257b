// Reads and checks the settings of archive, and the token.

package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"io/fs"
	"math"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/schedule"
	"convoso-archiver/manifest"
)

// maxWorkers keeps a typo from opening thousands of connections.
const maxWorkers = 256

// archiveJob holds the checked settings of one archive run.
type archiveJob struct {
	config      archiver.Config // without Run and KeyPrefixLen
	apiURL      string
	token       fetcher.Secret
	tokenFrom   string // the variable, or the path of the file
	allowHosts  fetcher.AllowedHosts
	pageSize    int
	apiRate     float64
	mediaRate   float64
	schedule    *schedule.Schedule
	maxRequests int
	rateShares  int
	template    string
	folder      string          // destination on disk, "" for one on S3
	bucket      store.S3Options // destination on S3, without TempDir and Workers
	stateDir    string
	newArchive  bool          // start a new one where this machine remembers another
	maxDuration time.Duration // 0 for none
	strict      bool
	locks       lockJob
	monitor     monitor
	warnings    []string // for the log, once it is open
}

func (j *archiveJob) warn(text string) { j.warnings = append(j.warnings, text) }

// archiveJob reads the settings of archive, except for the token.
func (r *reader) archiveJob(now time.Time, env environment, goos string) *archiveJob {
	folder, bucket := r.destination(env)
	zone := r.zone()
	span := r.span(now, zone)
	j := &archiveJob{
		folder:      folder,
		bucket:      bucket,
		apiURL:      r.apiURL(),
		allowHosts:  r.allowHosts(),
		pageSize:    r.whole("page-size", 1, fetcher.MaxPageSize),
		apiRate:     r.rate("api-rate"),
		mediaRate:   r.rate("media-rate"),
		rateShares:  r.whole("rate-shares", 1, maxRateShares),
		template:    r.text("path-template"),
		stateDir:    r.stateDir(env, goos),
		strict:      r.toggle("strict"),
		newArchive:  r.toggle("new-archive"),
		maxDuration: r.optionalDuration("max-duration"),
		schedule:    r.schedule(zone),
		maxRequests: r.whole("max-requests", 0, math.MaxInt),
	}
	j.config = archiver.Config{
		APIURL:        j.apiURL,
		Zone:          zone,
		Span:          span,
		Shard:         r.shard(env, folder),
		Filter:        r.filter(),
		Order:         archiver.Order(r.choice("order")),
		Settle:        r.duration("settle", 0),
		PurgeAfter:    r.duration("purge-after", time.Second),
		GiveUp:        r.duration("give-up", time.Second),
		Workers:       r.whole("workers", 1, maxWorkers),
		MaxRecordings: r.whole("max-recordings", 0, math.MaxInt),
		MaxBytes:      r.bytes("max-bytes"),
		Retry:         r.retry(),
		Relist:        r.toggle("relist"),
		DryRun:        r.toggle("dry-run"),
		Grace:         r.duration("grace", 0),
		RetryFor:      r.duration("retry-for", 0),
		Calls:         archiver.CallRows(r.choice("calls")),
	}
	j.locks = r.lockJob(folder)
	j.locks.newID = newArchiveID(bucket)
	j.locks.retention = r.retention()
	if bucket.Checksum == store.ChecksumNone && j.locks.mode != "" && j.locks.mode != noLocks {
		r.fail(r.values["s3-checksum"].origin, "leave it out, or give sha256 or md5", "locks need a checksum in each request")
	}
	j.monitor = r.monitor(purgeRules{zone, j.config.PurgeAfter}, sightOf(j.config, now))
	if j.monitor.file != "" && j.monitor.sight.partial {
		j.warn("a run with a filter or a shard sees only a part of the calls: it does not set last_success in --metrics-file, and does not clear waiting days there")
	}
	j.warnUnsharded(env)
	if g := r.values["no-catch-up"]; r.toggle("no-catch-up") && g.byFlag() && !r.isSet("last") {
		r.fail(g.origin, "leave it out", "it needs --last")
	}
	return j
}

// apiURL returns the address in the canonical form that archive.json stores.
func (r *reader) apiURL() string {
	value, origin := r.raw("api-url")
	trimmed := strings.TrimRight(strings.TrimSpace(value), "/")
	u, err := url.Parse(trimmed)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		r.fail(origin, "write it like https://api.convoso.com/v1", "it is not the URL of an API")
	}
	return trimmed
}

func (r *reader) allowHosts() fetcher.AllowedHosts {
	hosts, err := fetcher.ParseAllowedHosts(r.list("allow-host"))
	if err != nil {
		_, origin := r.raw("allow-host")
		r.fail(origin, "write it like *.convoso.com, or https://host:port", "%v", err)
	}
	return hosts
}

// zone refuses Local, which differs between machines.
func (r *reader) zone() *time.Location {
	value, origin := r.raw("time-zone")
	zone, err := time.LoadLocation(value)
	if err != nil || value == "" || value == "Local" {
		r.fail(origin, "give a name like America/New_York", "%q is not a known time zone", value)
		return time.UTC
	}
	return zone
}

// schedule reads the schedule, in the account's zone.
func (r *reader) schedule(zone *time.Location) *schedule.Schedule {
	if !r.isSet("schedule") {
		return nil
	}
	value, origin := r.raw("schedule")
	s, err := schedule.Parse(value, zone)
	if err != nil {
		r.fail(origin, "", "%v", err) // which says what is valid
	}
	return s.Share(r.whole("rate-shares", 1, maxRateShares))
}

func (r *reader) stateDir(env environment, goos string) string {
	if r.isSet("state-dir") {
		return r.text("state-dir")
	}
	dir, err := stateDir(goos, env)
	if err != nil {
		r.keep(err)
	}
	return dir
}

func (r *reader) optionalDuration(name string) time.Duration {
	if !r.isSet(name) {
		return 0
	}
	return r.duration(name, time.Second)
}

func (r *reader) filter() fetcher.Filter {
	return fetcher.Filter{
		ID:           r.text("id"),
		LeadID:       r.text("lead-id"),
		CampaignID:   r.text("campaign-id"),
		QueueID:      r.text("queue-id"),
		ListID:       r.text("list-id"),
		UserID:       r.text("user-id"),
		Status:       r.text("status"),
		PhoneNumber:  r.text("phone-number"),
		NumberDialed: r.text("number-dialed"),
		FirstName:    r.text("first-name"),
		LastName:     r.text("last-name"),
		CallType:     r.text("call-type"),
		CalledCount:  r.text("called-count"),
	}
}

// retryChoices are the final outcomes without a stored recording.
func retryChoices() []string {
	return []string{
		string(manifest.Pending), string(manifest.Failed), string(manifest.Rejected), string(manifest.Lost), string(manifest.Damaged),
	}
}

func (r *reader) retry() map[manifest.Outcome]bool {
	again := map[manifest.Outcome]bool{}
	for _, name := range r.list("retry") {
		if !slices.Contains(retryChoices(), name) {
			r.fail(r.values["retry"].origin, "give one of "+strings.Join(retryChoices(), ", "), "%q is not known", name)
		}
		again[manifest.Outcome(name)] = true
	}
	return again
}

const (
	tokenVariable = "CONVOSO_AUTH_TOKEN"
	maxTokenBytes = 64 << 10
)

// readToken returns the token. A file given by a flag overrides the variable, which overrides a
// file set elsewhere.
func readToken(ctx context.Context, v values, env environment, warn func(string)) (fetcher.Secret, error) {
	file, hasFile := v["auth-token-file"]
	token := env[tokenVariable]
	if token != "" && !file.byFlag() {
		return checkToken(tokenVariable, trimToken(token))
	}
	if !hasFile {
		return "", misuse("set "+tokenVariable+" or give --auth-token-file", "no API token")
	}
	path := file.items[0]
	data, err := readSmallFile(ctx, path, maxTokenBytes)
	if err != nil {
		return "", misuse("check --auth-token-file", "read API token: %v", err)
	}
	if info, err := os.Stat(path); err == nil && readableByOthers(info.Mode()) {
		warn("the token file can be read by every user of this machine: chmod 600 it")
	}
	line, _, _ := strings.Cut(decodeText(data), "\n")
	return checkToken("the token file", trimToken(line))
}

// decodeText returns a file's text without its byte-order mark. Windows PowerShell
// writes one before UTF-8, and writes UTF-16 by default.
func decodeText(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return string(data[3:])
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		return decodeUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		return decodeUTF16(data[2:], binary.BigEndian)
	}
	return string(data)
}

func decodeUTF16(data []byte, order binary.ByteOrder) string {
	var units []uint16
	for pair := range slices.Chunk(data, 2) {
		if len(pair) == 2 {
			units = append(units, order.Uint16(pair))
		}
	}
	return string(utf16.Decode(units))
}

// readableByOthers checks permission bits, which say nothing on Windows.
func readableByOthers(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.IsRegular() && mode.Perm()&0o004 != 0
}

// trimToken trims spaces and zero-width characters, which editors and copying may add.
func trimToken(token string) string {
	return strings.TrimFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
}

// checkToken refuses a file of another kind. It never repeats the token.
func checkToken(origin, token string) (fetcher.Secret, error) {
	if token == "" {
		return "", misuse("set "+tokenVariable+" or give --auth-token-file", "%s contains no API token", origin)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", misuse("it must contain only the token", "%s contains more than an API token", origin)
	}
	return fetcher.Secret(token), nil
}
