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

// Config says what the simulator holds and how it behaves. The zero value is a
// well-behaved account with one day of 100 calls.
type Config struct {
	// Seed decides all data: the same Config gives the same calls and bytes.
	Seed uint64

	// Token is the API token; "" stands for "simulator-token".
	Token string
	// LinkSecret is a part of the rlt value of every link, so that a test can look
	// for leaked links. It may hold + and /, and at most 24 bytes; "" for none.
	LinkSecret string
	// AccountID is the account in links and file names; 0 stands for 100200, and
	// with six digits a link's path ends in "==" as the vendor's do.
	AccountID int
	// Zone is the account's time zone; "" stands for America/Los_Angeles. The zone
	// data is the system's or that which the program embeds.
	Zone string

	// FirstDay is the first day that has calls, as 2006-01-02; "" stands for 2025-05-01.
	FirstDay string
	// Days is the number of days in a row that have calls; 0 stands for 1.
	Days int
	// CallsPerDay is the number of calls of each day; 0 stands for 100.
	CallsPerDay int
	// RecordedShare is the share of calls with a recording; 0 stands for 0.06,
	// which is what a predictive-dialler account has, below 0 for none at all.
	RecordedShare float64
	// SeveralShare is the share of recorded calls that have two or three recordings.
	SeveralShare float64
	// MedianSize, MinSize and MaxSize bound the sizes of recordings in bytes, which
	// are distributed lognormally and multiples of a frame of 576 bytes. 0 stands
	// for 54 KB, 13.8 KB and 3.1 MB, measured on one account.
	MedianSize, MinSize, MaxSize int64
	// BigRecordings gives that many recordings these sizes in bytes, whatever MaxSize says.
	BigRecordings []int64

	Oddities Oddities // what a client must take in its stride
	Listing  Listing  // how the API reads parameters, and how listings go wrong
	Late     Late     // recordings and links that appear later

	// MediaFaults says how many recordings have each fault. They are spread over
	// the days and differ from each other.
	MediaFaults map[Fault]int
	// FaultTimes says for how many requests a fault of MediaFaults lasts until the
	// recording can be had; 0 stands for ever.
	FaultTimes map[Fault]int
	// MediaDown answers every request for a recording with this fault.
	MediaDown Fault
	// MediaHook, where set, is asked for each request of a recording; the fault it
	// returns goes before all others. It is called from several goroutines.
	MediaHook func(MediaRequest) Fault
	// LinkRefusal is the answer to a link that was changed or has expired: any
	// fault that is a whole answer; "" stands for FaultForbidden.
	LinkRefusal Fault
	// ElsewhereURL is where FaultRedirectElsewhere points to; "" stands for
	// http://other.invalid/, PrivateURL where FaultRedirectPrivate does; "" stands
	// for http://169.254.169.254/latest/meta-data/.
	ElsewhereURL, PrivateURL string
	// DripDelay is the pause of FaultDrip between two pieces; 0 stands for 20 ms.
	DripDelay time.Duration

	// APIRules spoil single answers of the API.
	APIRules []APIRule
	// APIHook, where set, is asked for each request to the API; the fault it
	// returns goes before APIRules. It is called from several goroutines.
	APIHook func(APIRequest) APIFault
	// TokenRequests revokes the token after that many requests; 0 stands for never.
	TokenRequests int
	// ErrorStatus is the HTTP status of success:false answers; 0 stands for 200,
	// which is what the vendor sends.
	ErrorStatus int
	// ErrorField is the name of the field with an error's text: text (also for ""),
	// error or message. ErrorCodeAsText sends the code as a string.
	ErrorField      string
	ErrorCodeAsText bool
	// SlowAnswer is how long APISlow waits; 0 stands for one second.
	SlowAnswer time.Duration

	// APIRate and MediaRate are the hidden limits of the hosts.
	APIRate, MediaRate Rate
	// APILatency and MediaLatency are waited before each answer.
	APILatency, MediaLatency time.Duration

	// ClockSkew is how far the hosts' Date header is ahead of Now, until SetClockSkew.
	ClockSkew time.Duration
	// Now is the simulated clock; nil stands for time.Now. Rates and latencies run
	// on real time. It is called from several goroutines.
	Now func() time.Time

	// Logger gets the errors of the simulator itself; nil for none.
	Logger *slog.Logger
	// MediaOrigin replaces the media host's origin in links, for those who serve
	// MediaHandler themselves; "" stands for the server's own MediaURL.
	MediaOrigin string
	// TLS makes both hosts speak https with this configuration (HTTP/1.1 only); nil
	// for plain http.
	TLS *tls.Config
}

// Rate is a limit that a host does not tell: a token bucket, over which requests
// are answered 429.
type Rate struct {
	PerSecond  float64       // requests a second; 0 for no limit
	Burst      int           // requests that may come at once; 0 stands for 1
	RetryAfter RetryAfter    // form of the Retry-After header of a refusal
	Wait       time.Duration // what Retry-After says; 0 stands for the time until a request would pass
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

// withDefaults returns the configuration with every unset value filled in.
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
