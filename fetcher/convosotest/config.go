// Defines the configuration of the simulator.

package convosotest

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Config defines the data and the behaviour of the simulator. The zero value is a well-behaved
// account with one day of 100 calls.
type Config struct {
	// Seed determines all data: the same Config gives the same calls and bytes.
	Seed uint64

	// Token is the API token; "" means "simulator-token".
	Token string
	// LinkSecret is a part of the rlt value of every link, so that a test can search for leaked
	// links. It may contain + and /, and at most 24 bytes; "" for none.
	LinkSecret string
	// AccountID is the account in links and file names; 0 means 100200; with six digits a link's
	// path ends in "==" as the vendor's do.
	AccountID int
	// Zone is the account's time zone; "" means America/Los_Angeles. The zone data is the system's
	// or embedded in the program.
	Zone string

	// FirstDay is the first day that has calls, as 2006-01-02; "" means 2025-05-01.
	FirstDay string
	// Days is the number of consecutive days with calls; 0 means 1.
	Days int
	// CallsPerDay is the number of calls of each day; 0 means 100.
	CallsPerDay int
	// RecordedShare is the share of calls with a recording; 0 means 0.06, like an account with a
	// predictive dialler; negative for none.
	RecordedShare float64
	// SeveralShare is the share of recorded calls with two or three recordings.
	SeveralShare float64
	// MedianSize, MinSize and MaxSize bound the sizes of recordings in bytes, which are distributed
	// lognormally and multiples of a frame of 576 bytes. 0 means 54 KB, 13.8 KB and 3.1 MB,
	// measured on one account.
	MedianSize, MinSize, MaxSize int64
	// BigRecordings sets the sizes of the first recordings in bytes, ignoring MaxSize.
	BigRecordings []int64

	Oddities Oddities // deviations that a client must handle
	Listing  Listing  // how the API reads parameters, and how listings go wrong
	Late     Late     // recordings and links that appear later

	// MediaFaults says how many recordings have each fault. They are different recordings, spread
	// over the days.
	MediaFaults map[Fault]int
	// FaultTimes is the number of requests for which a fault of MediaFaults lasts; 0 means for
	// ever.
	FaultTimes map[Fault]int
	// MediaDown answers every request for a recording with this fault.
	MediaDown Fault
	// MediaHook, if set, is called for each request of a recording; its fault overrides all others.
	// It is called concurrently.
	MediaHook func(MediaRequest) Fault
	// LinkRefusal is the answer to a link that was changed or has expired: any fault that is a
	// complete answer; "" means FaultForbidden.
	LinkRefusal Fault
	// ElsewhereURL is the target of FaultRedirectElsewhere; "" means http://other.invalid/.
	// PrivateURL is the target of FaultRedirectPrivate; "" means
	// http://169.254.169.254/latest/meta-data/.
	ElsewhereURL, PrivateURL string
	// DripDelay is the pause of FaultDrip between two pieces; 0 means 20 ms.
	DripDelay time.Duration

	// APIRules define faults of single API answers.
	APIRules []APIRule
	// APIHook, if set, is called for each request to the API; its fault overrides APIRules. It is
	// called concurrently.
	APIHook func(APIRequest) APIFault
	// TokenRequests revokes the token after this many requests; 0 means never.
	TokenRequests int
	// ErrorStatus is the HTTP status of success:false answers; 0 means 200, like the vendor.
	ErrorStatus int
	// ErrorField is the name of the field with an error's text: text (also for ""),
	// error or message. ErrorCodeAsText sends the code as a string.
	ErrorField      string
	ErrorCodeAsText bool
	// SlowAnswer is how long APISlow waits; 0 means one second.
	SlowAnswer time.Duration

	// APIRate and MediaRate are the hidden limits of the hosts.
	APIRate, MediaRate Rate
	// APILatency and MediaLatency are the delays before each answer.
	APILatency, MediaLatency time.Duration

	// ClockSkew is the offset of the hosts' Date header from Now, until SetClockSkew.
	ClockSkew time.Duration
	// Now is the simulated clock; nil means time.Now. Rates and latencies use real time. It is
	// called concurrently.
	Now func() time.Time

	// Logger logs errors of the simulator itself; nil for none.
	Logger *slog.Logger
	// MediaOrigin replaces the media host's origin in links, for callers that serve MediaHandler
	// themselves; "" means the server's own MediaURL.
	MediaOrigin string
	// TLS makes both hosts use https with this configuration (HTTP/1.1 only); nil for plain http.
	TLS *tls.Config
}

// Rate is an undisclosed limit of a host: a token bucket, above which requests get 429.
type Rate struct {
	PerSecond  float64       // requests per second; 0 for no limit
	Burst      int           // maximum burst of requests; 0 means 1
	RetryAfter RetryAfter    // form of the Retry-After header of a refusal
	Wait       time.Duration // value of Retry-After; 0 means the time until a request would pass
}

// RetryAfter is the form of a Retry-After header.
type RetryAfter string

// The forms of a Retry-After header.
const (
	RetryNone    RetryAfter = ""        // no header
	RetrySeconds RetryAfter = "seconds" // a number of seconds
	RetryDate    RetryAfter = "date"    // an HTTP date
)

const (
	frameSize     = 576 // bytes of 72 ms at 64 kbit/s
	maxLinkSecret = 24
)

// withDefaults returns the configuration with defaults for unset values.
func (c Config) withDefaults() (Config, error) {
	c.Token = cmp.Or(c.Token, "simulator-token")
	c.AccountID = cmp.Or(c.AccountID, 100200)
	c.Zone = cmp.Or(c.Zone, "America/Los_Angeles")
	c.FirstDay = cmp.Or(c.FirstDay, "2025-05-01")
	c.Days = cmp.Or(c.Days, 1)
	c.CallsPerDay = cmp.Or(c.CallsPerDay, 100)
	c.RecordedShare = cmp.Or(c.RecordedShare, 0.06)
	c.MedianSize = cmp.Or(c.MedianSize, 54_000)
	c.MinSize = cmp.Or(c.MinSize, min(13_824, c.MedianSize))
	c.MaxSize = cmp.Or(c.MaxSize, max(3_100_000, c.MedianSize))
	c.LinkRefusal = cmp.Or(c.LinkRefusal, FaultForbidden)
	c.ElsewhereURL = cmp.Or(c.ElsewhereURL, "http://other.invalid/")
	c.PrivateURL = cmp.Or(c.PrivateURL, "http://169.254.169.254/latest/meta-data/")
	c.DripDelay = cmp.Or(c.DripDelay, 20*time.Millisecond)
	c.SlowAnswer = cmp.Or(c.SlowAnswer, time.Second)
	c.ErrorStatus = cmp.Or(c.ErrorStatus, 200)
	c.ErrorField = cmp.Or(c.ErrorField, "text")
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Listing = c.Listing.withDefaults()
	return c, c.validate()
}

func (c *Config) validate() error {
	switch {
	case c.Days < 0 || c.CallsPerDay < 0:
		return fmt.Errorf("configure simulator: %d days of %d calls", c.Days, c.CallsPerDay)
	case int64(c.Days)*int64(c.CallsPerDay) > 100_000_000:
		return fmt.Errorf("configure simulator: %d days of %d calls are more than 100 million", c.Days, c.CallsPerDay)
	case len(c.LinkSecret) > maxLinkSecret:
		return fmt.Errorf("configure simulator: a link secret of %d bytes is longer than %d", len(c.LinkSecret), maxLinkSecret)
	case c.MinSize > c.MaxSize || c.MinSize < 0:
		return fmt.Errorf("configure simulator: sizes from %d to %d bytes", c.MinSize, c.MaxSize)
	}
	if _, err := time.Parse(dateLayout, c.FirstDay); err != nil {
		return fmt.Errorf("configure simulator: read first day: %w", err)
	}
	for fault := range c.MediaFaults {
		if !fault.known() {
			return fmt.Errorf("configure simulator: unknown fault %q", fault)
		}
	}
	for _, rule := range c.APIRules {
		if !slices.Contains(APIFaults(), rule.Fault) {
			return fmt.Errorf("configure simulator: unknown fault of the API %q", rule.Fault)
		}
	}
	if !c.LinkRefusal.known() || !c.LinkRefusal.standsAlone() {
		return fmt.Errorf("configure simulator: %q is no answer to a refused link", c.LinkRefusal)
	}
	if c.MediaDown != "" && !c.MediaDown.known() {
		return fmt.Errorf("configure simulator: unknown fault %q", c.MediaDown)
	}
	return nil
}
