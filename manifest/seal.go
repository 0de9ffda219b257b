// Hashes the files of a day and their lines, for its day line.

package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// sealed is a segment for a day line, with the digests of its lines: each in hex, with a line feed.
type sealed struct {
	Segment
	digests []byte
	torn    int // number of the partial line in which it ends, 0 for none
}

// seal reads segments and hashes them and their lines.
func (l *Ledger) seal(ctx context.Context, segments []segment) ([]sealed, error) {
	var list []sealed
	for _, s := range segments {
		var one sealed
		file := sha256.New()
		r := l.read(ctx, s, maxCallLine, 0)
		r.copyTo(file)
		for r.next() {
			one.digests = append(appendDigest(one.digests, r.line), '\n')
		}
		if r.err != nil {
			return nil, r.err
		}
		one.Segment = Segment{Name: s.name(), Bytes: r.file.n, SHA256: hex.EncodeToString(file.Sum(nil))}
		if r.torn {
			one.torn = r.n
		}
		list = append(list, one)
	}
	return list, nil
}

// root returns the root over the lines of segments, and their number.
func root(segments []sealed) (sum string, lines int64) {
	h := sha256.New()
	for _, s := range segments {
		h.Write(s.digests)
		lines += int64(len(s.digests) / (digestLen + 1))
	}
	return hex.EncodeToString(h.Sum(nil)), lines
}

const (
	digestMark = `,"digest":"`
	digestLen  = 2 * sha256.Size
)

// appendDigest appends a line's digest in hex: its SHA-256, or the digest at the end of a stub.
func appendDigest(to, line []byte) []byte {
	if digest, ok := stubDigest(line); ok {
		return append(to, digest...)
	}
	sum := sha256.Sum256(line)
	return hex.AppendEncode(to, sum[:])
}

// stubDigest returns the digest that a line ends in: it is a stub of an erased line.
func stubDigest(line []byte) (digest []byte, ok bool) {
	rest, ok := bytes.CutSuffix(line, []byte(`"}`))
	if !ok || len(rest) <= digestLen {
		return nil, false
	}
	digest = rest[len(rest)-digestLen:]
	return digest, bytes.HasSuffix(rest[:len(rest)-digestLen], []byte(digestMark)) && isSHA256(string(digest))
}
