package archiver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"convoso-archiver/archiver/audio"
	"convoso-archiver/archiver/key"
	"convoso-archiver/archiver/store"
	"convoso-archiver/fetcher"
	"convoso-archiver/internal/retry"
	"convoso-archiver/manifest"
)

// download is a body that came whole and is audio.
type download struct {
	body  *body
	audio audio.Result
}

func (d *download) format() audio.Format { return d.audio.Format }

func (d *download) contentType() string { return d.audio.Format.ContentType() }

// remark notes what is odd about a recording that was stored all the same.
func (d *download) remark(callLength string) string {
	var remarks []string
	if d.audio.LastFrameBroken {
		remarks = append(remarks, "the last frame is incomplete")
	}
	if seconds, err := strconv.Atoi(callLength); err == nil && d.audio.Duration > 0 {
		length := time.Duration(seconds) * time.Second
		if apart := (d.audio.Duration - length).Abs(); apart > max(5*time.Second, length/10) {
			remarks = append(remarks, fmt.Sprintf("plays %d s, call_length is %d s", int(d.audio.Duration.Seconds()), seconds))
		}
	}
	return strings.Join(remarks, "; ")
}

// download makes one request for a recording. It returns a body, or a finding that
// no further attempt of this run would change, or an error: one that may pass, or
// one marked with retry.Stop.
func (r *run) download(j *job) (*download, *finding, error) {
	answer, err := r.Source.Open(r.hard, r.soft, j.recording.Link)
	if err != nil {
		return r.unopened(j, err)
	}
	defer answer.Close()
	j.attempts++
	switch status := answer.Status; {
	case status == http.StatusOK:
	case status == http.StatusNotFound || status == http.StatusGone:
		return nil, &finding{outcome: manifest.Pending, reason: fmt.Sprintf("answer %d", status), notFound: true}, nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, &finding{outcome: manifest.Failed, reason: fmt.Sprintf("answer %d", status), denied: true}, nil
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return nil, nil, fmt.Errorf("get recording: answer %d", status)
	default:
		return nil, &finding{outcome: manifest.Failed, reason: fmt.Sprintf("answer %d", status)}, nil
	}
	if encoding := answer.ContentEncoding; encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, &finding{outcome: manifest.Rejected, reason: "an encoding that was not asked for"}, nil
	}
	return r.receive(j, answer)
}

// unopened judges a request that led to no answer that can be read.
func (r *run) unopened(j *job, err error) (*download, *finding, error) {
	if errors.Is(err, fetcher.ErrBadLink) {
		return nil, rejected(fetcher.ErrBadLink.Error()), nil
	}
	if errors.Is(err, fetcher.ErrNotAllowed) {
		if errors.Is(err, fetcher.ErrRedirected) {
			j.attempts++
		}
		return nil, rejected("the link or a redirect points to a place that is not allowed"), nil
	}
	if _, ok := errors.AsType[*fetcher.RetryLaterError](err); ok {
		return nil, nil, retry.Stop(err)
	}
	if r.soft.Err() != nil {
		return nil, nil, retry.Stop(errStopping)
	}
	j.attempts++
	if _, ok := errors.AsType[*fetcher.RefusedError](err); ok {
		err = retry.Refused(err)
	}
	return nil, nil, err
}

// receive reads an answer of 200 to its end and judges it.
func (r *run) receive(j *job, answer *fetcher.Audio) (got *download, found *finding, err error) {
	b := newBody(r.pool, r.Store.NewPart)
	defer func() {
		if got == nil {
			b.discard()
		}
	}()
	inspector := audio.NewInspector()
	if err := r.copyBody(b, inspector, answer); err != nil {
		return nil, nil, err
	}
	result := inspector.Finish()
	if answer.ContentLength < 0 && (result.LastFrameBroken || result.ContainerMismatch != "") {
		return nil, nil, errors.New("get recording: the audio ends in the middle, and no length was sent")
	}
	switch result.Verdict {
	case audio.Empty:
		return nil, rejected("an empty body"), nil
	case audio.HTML:
		return nil, rejected("an HTML page"), nil
	case audio.JSON, audio.Text:
		if result.NotFound {
			return nil, &finding{outcome: manifest.Pending, reason: "told so in the body", notFound: true}, nil
		}
		return nil, rejected("text instead of audio"), nil
	case audio.Unknown:
		f, err := r.quarantine(j, b)
		return nil, f, err
	}
	if result.ContainerMismatch != "" {
		return nil, rejected("a container that contradicts its length"), nil
	}
	return &download{body: b, audio: result}, nil, nil
}

func rejected(reason string) *finding { return &finding{outcome: manifest.Rejected, reason: reason} }

// copyBody moves an answer into b, through the inspector. Text is looked at and
// reaches no file: an error page may repeat the link it was asked by. What begins
// like audio goes to the part at once that will be the object.
func (r *run) copyBody(b *body, inspector *audio.Inspector, answer *fetcher.Audio) error {
	const mostText = 64 << 10
	total, text := 0, false
	for {
		room, err := b.room()
		if err != nil {
			return unheld(err)
		}
		n, err := answer.Read(room)
		r.received.Add(int64(n))
		total += n
		_, _ = inspector.Write(room[:n]) // never fails
		text = text || inspector.IsText()
		if !text && n > 0 {
			if err := b.take(n); err != nil {
				return unheld(err)
			}
		}
		switch {
		case errors.Is(err, io.EOF) && !isText(inspector.Finish().Verdict):
			return unheld(b.end())
		case errors.Is(err, io.EOF), err == nil && text && total > mostText:
			return nil
		case err != nil:
			return fmt.Errorf("read recording: %w", readError(err))
		case inspector.IsAnnounced() && r.Store.KeepsParts():
			if err := b.moveToPart(); err != nil {
				return unheld(err)
			}
		}
	}
}

func isText(v audio.Verdict) bool { return v == audio.HTML || v == audio.JSON || v == audio.Text }

// unheld is the error of a body for which there was no room, nil where there was.
func unheld(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("hold recording: %w", err)
	if store.IsRetriable(err) {
		return err
	}
	return retry.Stop(err) // a further download would not find more room
}

// readError names what ended a body early. Errors of reading a body hold no link.
func readError(err error) error {
	switch {
	case errors.Is(err, fetcher.ErrStalled):
		return fetcher.ErrStalled
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the body is shorter than its length")
	case errors.Is(err, syscall.ECONNRESET):
		return errors.New("the connection was reset")
	}
	return err
}

// quarantine keeps a body that is neither text nor known audio, so that a person
// can look at it. One that repeats a secret is not kept.
func (r *run) quarantine(j *job, b *body) (*finding, error) {
	secrets := fetcher.LinkSecrets(j.recording.Link)
	content, err := b.reader()
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	clean, err := withoutAny(content, secrets)
	if err != nil {
		return nil, fmt.Errorf("look for secrets in body: %w", err)
	}
	if !clean {
		return rejected("an unknown format that repeats the link; not kept"), nil
	}
	if content, err = b.reader(); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	sum := b.sum()
	keys := key.Quarantine(string(j.day.date), j.recording.Identity, sum)
	if _, err := r.Store.Put(r.hard, store.Object{
		Keys: keys, Body: content, Size: b.size, SHA256: sum, ContentType: "application/octet-stream",
		RecordingID: j.recording.Identity, CallID: j.call.callID,
	}); err != nil {
		if store.IsRetriable(err) {
			return nil, err
		}
		return nil, retry.Stop(err)
	}
	return rejected("an unknown format; kept under quarantine"), nil
}

// withoutAny reports whether none of the texts stands in the body.
func withoutAny(body io.Reader, texts []string) (bool, error) {
	longest := 1
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	window := make([]byte, 0, 32<<10+longest)
	for {
		n, err := body.Read(window[len(window):cap(window)])
		window = window[:len(window)+n]
		for _, text := range texts {
			if bytes.Contains(window, []byte(text)) {
				return false, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if keep := longest - 1; len(window) > keep {
			window = append(window[:0], window[len(window)-keep:]...)
		}
	}
}

// reasonOf returns what may stand in the manifest of an error that used up its
// retries.
func reasonOf(err error) string {
	const longest = 160
	reason := strings.ToValidUTF8(err.Error(), "?")
	if len(reason) > longest {
		reason = strings.ToValidUTF8(reason[:longest], "") + "…"
	}
	return reason
}

// namesOf makes the names that a recording may be stored under.
func (r *run) namesOf(call facts, recording fetcher.Recording, format audio.Format) (key.Names, error) {
	fields := map[string]string{}
	maps.Copy(fields, call.fields)
	fields["recording_id"] = cmp.Or(recording.ID, recording.Identity)
	fields["filename"] = recording.Filename
	fields["type"] = recording.Type
	fields["new"] = recording.New
	names, err := r.Keys.Key(fields, call.date, key.Options{
		RecordingID: recording.Identity, Format: format, PrefixLen: r.config.KeyPrefixLen,
	})
	if err != nil {
		return names, fmt.Errorf("make key of recording %s: %w", recording.Identity, err)
	}
	return names, nil
}

// wantedKey returns the key that a recording which was not had would be stored
// under if it is what the vendor's recordings are, MP3; "" where none can be made.
// A later run looks there before it writes the recording off.
func (r *run) wantedKey(call facts, recording fetcher.Recording) string {
	names, err := r.namesOf(call, recording, audio.MP3)
	if err != nil {
		return "" // told when it is to be stored
	}
	return names.Wanted()
}
