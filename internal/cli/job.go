package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"io/fs"
	"math"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
	"unicode"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/manifest"
)

// mostWorkers keeps a slip of the keyboard from opening thousands of connections.
const mostWorkers = 256

// archiveJob is everything one archive run needs to know, read and checked.
type archiveJob struct {
	config      archiver.Config // without Run and KeyPrefixLen
	apiURL      string
	token       fetcher.Secret
	allowHosts  fetcher.AllowedHosts
	pageSize    int
	apiRate     float64
	mediaRate   float64
	template    string
	folder      string        // destination on disk, "" for one on S3
	bucket      s3Destination // destination on S3
	stateDir    string
	maxDuration time.Duration // 0 for none
	strict      bool
	warnings    []string // for the log, once there is one
}

// s3Destination is a place in a bucket and how to talk to it.
type s3Destination struct {
	bucket, prefix, endpoint, region string
	pathStyle, noConditionalWrites   bool
	storageClass, sse, kmsKeyID      string
	checksum                         store.Checksum
}

func (j *archiveJob) warn(text string) { j.warnings = append(j.warnings, text) }

// archiveJob reads the settings of archive, except for the token.
func (r *reader) archiveJob(now time.Time, env environment, goos string) *archiveJob {
	folder, bucket := r.destination()
	if bucket.bucket != "" && bucket.endpoint == "" {
		// Named here as well as by its flag: the folder of notes that wait to be
		// uploaded belongs to one server's bucket.
		bucket.endpoint = cmp.Or(env["AWS_ENDPOINT_URL_S3"], env["AWS_ENDPOINT_URL"])
	}
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
		template:    r.text("path-template"),
		stateDir:    r.stateDir(env, goos),
		strict:      r.toggle("strict"),
		maxDuration: r.optionalDuration("max-duration"),
	}
	j.config = archiver.Config{
		APIURL:        j.apiURL,
		Zone:          zone,
		Span:          span,
		Filter:        r.filter(),
		Order:         archiver.Order(r.choice("order")),
		Settle:        r.duration("settle", 0),
		PurgeAfter:    r.duration("purge-after", time.Second),
		GiveUp:        r.duration("give-up", time.Second),
		Workers:       r.whole("workers", 1, mostWorkers),
		MaxRecordings: r.whole("max-recordings", 0, math.MaxInt),
		Retry:         r.retry(),
		Relist:        r.toggle("relist"),
		DryRun:        r.toggle("dry-run"),
		Grace:         r.duration("grace", 0),
	}
	if g := r.values["no-catch-up"]; r.toggle("no-catch-up") && g.byFlag && !r.isSet("last") {
		r.fail(g.origin, "leave it out", "it belongs to --last, which is not given")
	}
	return j
}

// apiURL returns the address in the one form that the archive is marked with.
func (r *reader) apiURL() string {
	value, origin := r.raw("api-url")
	trimmed := strings.TrimRight(strings.TrimSpace(value), "/")
	u, err := url.Parse(trimmed)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		r.fail(origin, "write it like https://api.convoso.com/v1", "it is no address of an API")
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

// zone refuses the machine's own zone, which is another one on another machine.
func (r *reader) zone() *time.Location {
	value, origin := r.raw("time-zone")
	zone, err := time.LoadLocation(value)
	if err != nil || value == "" || value == "Local" {
		r.fail(origin, "give a name like America/New_York", "%q is not a known time zone", value)
		return time.UTC
	}
	return zone
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

func (r *reader) retry() map[manifest.Outcome]bool {
	again := map[manifest.Outcome]bool{}
	for _, name := range r.list("retry") {
		switch outcome := manifest.Outcome(name); outcome {
		case manifest.Lost, manifest.Rejected, manifest.Failed:
			again[outcome] = true
		default:
			r.fail(r.values["retry"].origin, "give lost, rejected or failed", "%q is not known", name)
		}
	}
	return again
}

var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// destination returns a folder or a place in a bucket.
func (r *reader) destination() (folder string, bucket s3Destination) {
	if !r.isSet("dest") {
		r.keep(misuse("give --dest with a folder, or s3://bucket/prefix", "no destination is given"))
		return "", bucket
	}
	value, origin := r.text("dest"), r.values["dest"].origin
	rest, isS3 := strings.CutPrefix(value, "s3://")
	if !isS3 && len(value) > 3 && strings.EqualFold(value[:3], "s3:") {
		r.fail(origin, "write it like s3://bucket/prefix", "it looks like a bucket and is not written like one")
	}
	if !isS3 {
		if schemePattern.MatchString(value) {
			r.fail(origin, "give a folder, or s3://bucket/prefix", "destinations of that kind are not supported")
		}
		r.refuseS3Settings()
		return value, bucket
	}
	bucket.bucket, bucket.prefix, _ = strings.Cut(rest, "/")
	bucket.prefix = strings.TrimSuffix(bucket.prefix, "/")
	if problem := badBucket(bucket.bucket, bucket.prefix); problem != "" {
		r.fail(origin, "write it like s3://bucket/prefix", "%s", problem)
	}
	bucket.endpoint = r.s3Endpoint()
	bucket.region = r.text("s3-region")
	bucket.pathStyle = r.toggle("s3-path-style")
	bucket.storageClass = r.text("s3-storage-class")
	bucket.sse = r.choice("s3-sse")
	bucket.kmsKeyID = r.text("s3-kms-key-id")
	if checksum := r.choice("s3-checksum"); checksum != "auto" {
		bucket.checksum = store.Checksum(checksum)
	}
	bucket.noConditionalWrites = r.toggle("s3-no-conditional-writes")
	return "", bucket
}

// refuseS3Settings catches a destination that was meant to be a bucket.
func (r *reader) refuseS3Settings() {
	for _, s := range s3Settings() {
		if g, ok := r.values[s.name]; ok && g.byFlag {
			r.fail(g.origin, "give --dest s3://bucket/prefix, or leave it out", "it has no effect on a folder")
		}
	}
}

var bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)

func badBucket(bucket, prefix string) string {
	switch {
	case bucket == "":
		return "the bucket is missing"
	case !bucketPattern.MatchString(bucket):
		return "that is no name of a bucket"
	case strings.ContainsAny(prefix, "?#"):
		return "the prefix holds ? or #, which are for addresses only"
	case strings.ContainsFunc(prefix, unicode.IsControl):
		return "the prefix holds a control character"
	case prefix == "":
		return ""
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." {
			return "a part of the prefix is empty, . or .."
		}
	}
	return ""
}

func (r *reader) s3Endpoint() string {
	value := r.text("s3-endpoint")
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		r.fail(r.values["s3-endpoint"].origin, "write it like https://s3.example.com", "it is no address of a store")
	}
	return value
}

const (
	tokenVariable = "CONVOSO_AUTH_TOKEN"
	largestToken  = 64 << 10
)

// readToken returns the token. A file named by a flag beats the variable, which
// beats a file that is named elsewhere.
func readToken(v values, env environment, warn func(string)) (fetcher.Secret, error) {
	file, hasFile := v["auth-token-file"]
	token := env[tokenVariable]
	if token != "" && !file.byFlag {
		return checkToken(tokenVariable, strings.TrimSpace(token))
	}
	if !hasFile {
		return "", misuse("set "+tokenVariable+" or give --auth-token-file", "no API token")
	}
	path := file.items[0]
	data, err := readSmallFile(path, largestToken)
	if err != nil {
		return "", misuse("check --auth-token-file", "read API token: %v", err)
	}
	if info, err := os.Stat(path); err == nil && readableByOthers(info.Mode()) {
		warn("the token file can be read by every user of this machine: chmod 600 it")
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, largestToken+1)
	scanner.Scan()
	return checkToken("the token file", strings.TrimSpace(scanner.Text()))
}

// readableByOthers looks at permission bits, which say nothing on Windows.
func readableByOthers(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.IsRegular() && mode.Perm()&0o004 != 0
}

// checkToken catches a file of another kind. It never repeats the token.
func checkToken(origin, token string) (fetcher.Secret, error) {
	if token == "" {
		return "", misuse("set "+tokenVariable+" or give --auth-token-file", "%s holds no API token", origin)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", misuse("it must hold the token alone", "%s holds something else than an API token", origin)
	}
	return fetcher.Secret(token), nil
}
