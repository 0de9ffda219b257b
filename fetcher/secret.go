// Defines a text type that no log, error or encoding reveals.

package fetcher

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a text that grants access to whoever has it: the API token, or the link of a recording. Every way of
// printing or encoding it gives a placeholder.
type Secret string

// Reveal returns the text itself. Only the few places that must send it may call it.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder.
func (Secret) String() string { return redacted }

// GoString returns a placeholder, so that %#v does not reveal the text.
func (Secret) GoString() string { return redacted }

// Format writes a placeholder for every verb, %x and %q included.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder, which covers JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
