// Maps the flags that people guess to existing flags.

package cli

import "slices"

// goesToStdout reports whether a guessed flag means the result of a command that only reads --dest, and prints its
// result. flags are those of the command.
func goesToStdout(guess string, flags []string) bool {
	storesThere := slices.Contains(flags, "new-archive") || slices.Contains(flags, "faults")
	return slices.Contains([]string{"output", "out", "o"}, guess) && slices.Contains(flags, "json") && !storesThere
}

// guessedFlags maps guessed names to candidates; the first candidate that the command has is suggested.
func guessedFlags() map[string][]string {
	destination, target := []string{"dest"}, []string{"to", "copy-to", "dest"}
	start, end := []string{"start-time"}, []string{"end-time"}
	number, agent := []string{"number", "phone-number"}, []string{"agent", "user-id", "users"}
	limit, size := []string{"limit", "max-recordings", "max-bytes"}, []string{"max-bytes"}
	return map[string][]string{
		"phone": number, "caller": number, "number": {"phone-number"}, "dialed": {"number-dialed"}, "caller-id": number, "callerid": number,
		"campaign": {"campaign-id"}, "campaign-name": {"campaign"}, "queue": {"queue-id"}, "list": {"list-id"}, "lead": {"lead-id"},
		"user": agent, "user-name": agent, "agent": {"user-id"}, "agent-id": {"user-id"}, "agent-name": agent,
		"type": {"call-type"}, "direction": {"call-type"}, "call-id": {"id"}, "call": {"id"}, "ids": {"ids-from"}, "recording-id": {"ids-from"},
		"name": {"last-name"}, "disposition": {"status"}, "length": {"min-length"}, "min-duration": {"min-length"},
		"duration": {"min-length", "max-duration"}, "random": {"sample"}, "text": {"comment"}, "notes": {"comment"},

		"from": start, "start": start, "since": start, "start-date": start, "after": start, "date": start, "day": start,
		"to": end, "end": end, "until": end, "end-date": end, "before": end, "days": {"last"},

		"output": target, "out": target, "o": target, "output-dir": target, "copy": {"copy-to", "to"}, "destination": target, "target": target,
		"bucket": destination, "prefix": destination, "folder": destination, "dir": destination, "directory": destination, "path": destination,
		"archive": destination, "source": destination, "input": destination, "s3": destination,

		"endpoint": {"s3-endpoint"}, "region": {"s3-region"}, "path-style": {"s3-path-style"}, "storage-class": {"s3-storage-class"},
		"kms-key": {"s3-kms-key-id"}, "sse": {"s3-sse"}, "key": {"tls-key", "allowed-signers", "auth-token-file"}, "cert": {"tls-cert"},
		"token-file": {"auth-token-file"}, "password": {"users"}, "port": {"listen"}, "addr": {"listen"}, "address": {"listen"}, "bind": {"listen"},

		"dry": {"dry-run"}, "simulate": {"dry-run"}, "machines": {"parallelism", "workers"}, "parallel": {"parallelism", "workers"},
		"concurrency": {"workers"}, "threads": {"workers"}, "jobs": {"workers"}, "rate": {"api-rate"}, "bwlimit": {"schedule"},
		"bandwidth": {"schedule"}, "limit-download": {"schedule"}, "size": size, "max-size": size, "max-transfer": size,
		"limit": limit, "max": limit, "count": limit, "timeout": {"max-duration", "retry-for"}, "time": {"at"}, "cron": {"at"},
		"template": {"path-template"}, "timezone": {"time-zone"}, "tz": {"time-zone"},
		"csv": {"format"}, "format": {"csv", "json"}, "parquet": {"format"}, "verbose": {"log-level"}, "v": {"log-level"}, "debug": {"log-level"}, "silent": {"quiet"}, "q": {"quiet"}, "c": {"config"},
	}
}
