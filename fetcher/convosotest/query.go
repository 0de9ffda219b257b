// Parses the requests to the simulated API.

package convosotest

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is a request for a page as interpreted by the API.
type query struct {
	from, to      int64 // range of sort keys, both included
	limit, offset int
	descending    bool
	recordings    bool
	filters       []filter
	window        string // identifies requests that page through the same rows
}

// filter keeps the calls with one of the requested values.
type filter struct {
	value  func(call int32) string
	wanted []string
	fold   bool // ignore case
}

// apiError is a refusal in the API's own form.
type apiError struct {
	code int
	text string
}

// readQuery reads the parameters of a request. It ignores unknown ones, like the API.
func (s *Server) readQuery(params url.Values, now time.Time) (query, *apiError) {
	get := func(name string) string {
		if slices.Contains(s.listing.Ignore, name) {
			return ""
		}
		return params.Get(name)
	}
	q := query{descending: !strings.EqualFold(get("order"), "asc"), recordings: get("include_recordings") == "1"}
	if failure := s.readWindow(&q, get("start_time"), get("end_time"), now); failure != nil {
		return q, failure
	}
	if failure := s.readPage(&q, get("limit"), get("offset")); failure != nil {
		return q, failure
	}
	failure := s.readFilters(&q, get)
	return q, failure
}

// readWindow reads the two times. Without both, the API answers only with today; with one of them, the other side is
// open.
func (s *Server) readWindow(q *query, start, end string, now time.Time) *apiError {
	q.from, q.to = math.MinInt64, math.MaxInt64
	if start == "" && end == "" {
		today := now.In(s.zone).Format(dateLayout)
		start, end = today, today
	}
	q.window = start + "|" + end
	late := s.config.Listing.AmbiguousLate
	if start != "" {
		wall, ok := parseWall(start, false)
		if !ok {
			return &apiError{6026, "Invalid start_time"}
		}
		q.from = s.keyOfWall(wall, late)
		if s.listing.ExclusiveStart {
			q.from++
		}
	}
	if end != "" {
		wall, ok := parseWall(end, true)
		if !ok {
			return &apiError{6041, "Invalid end_time"}
		}
		q.to = s.keyOfWall(wall, late)
		if s.listing.ExclusiveEnd {
			q.to--
		}
	}
	q.to = min(q.to, s.keyOf(now.Unix()))
	return nil
}

func (s *Server) keyOfWall(wall int64, late bool) int64 {
	if s.config.Listing.Compare == CompareInstants {
		return instantOf(wall, s.zone, late)
	}
	return wall
}

func (s *Server) readPage(q *query, limit, offset string) *apiError {
	listing := &s.config.Listing
	q.limit = listing.DefaultLimit
	if limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 {
			return &apiError{7230, "Invalid limit value"}
		}
		q.limit = n
	}
	if q.limit > listing.MaxLimit {
		switch listing.LimitMode {
		case LimitReject:
			return &apiError{7230, "Invalid limit value"}
		case LimitClamp:
			q.limit = listing.MaxLimit
		}
	}
	if offset != "" {
		n, err := strconv.Atoi(offset)
		if err != nil || n < 0 || n > listing.OffsetCeiling {
			return &apiError{7231, "Invalid offset value"}
		}
		q.offset = n
	}
	return nil
}

// readFilters reads the filtering parameters; each accepts a comma list.
func (s *Server) readFilters(q *query, get func(string) string) *apiError {
	add := func(name string, value func(int32) string, fold bool) {
		if wanted := get(name); wanted != "" {
			q.filters = append(q.filters, filter{value, strings.Split(wanted, ","), fold})
			q.window += "|" + name + "=" + wanted
		}
	}
	known := func(name string, code int, text string, of func(int) string, count int) *apiError {
		for id := range strings.SplitSeq(get(name), ",") {
			found := id == ""
			for n := range count {
				found = found || of(n) == id
			}
			if !found {
				return &apiError{code, text}
			}
		}
		return nil
	}
	if failure := known("list_id", 6002, "No such List", listIDOf, lists); failure != nil {
		return failure
	}
	if failure := known("campaign_id", 6004, "No such Campaign", campaignIDOf, campaigns); failure != nil {
		return failure
	}
	if failure := known("user_id", 6006, "No such User", userIDOf, users); failure != nil {
		return failure
	}
	if failure := known("queue_id", 6030, "No such Queue", queueIDOf, queues); failure != nil {
		return failure
	}
	add("id", s.callID, false)
	add("lead_id", s.leadID, false)
	add("campaign_id", s.campaignID, false)
	add("queue_id", s.queueID, false)
	add("list_id", s.listID, false)
	add("user_id", s.userID, false)
	add("status", func(i int32) string { code, _ := s.status(i); return code }, true)
	add("phone_number", s.phone, false)
	add("number_dialed", s.numberDialed, false)
	add("first_name", s.firstName, true)
	add("last_name", s.lastName, true)
	add("call_type", s.callType, true)
	add("called_count", s.calledCount, false)
	return nil
}

func (f filter) keeps(i int32) bool {
	value := f.value(i)
	for _, wanted := range f.wanted {
		if value == wanted || (f.fold && strings.EqualFold(value, wanted)) {
			return true
		}
	}
	return false
}
