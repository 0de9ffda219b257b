package archiver

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"

	"convoso-archiver/archiver/store"
)

const (
	chunkSize   = 64 << 10
	poolBytes   = 16 << 20 // for all bodies of the process together
	memoryLimit = 1 << 20  // for one body; what exceeds it goes to a file
)

// chunkPool lends the memory that bodies are held in. Its size is fixed, so that
// memory depends neither on the number of workers nor on the size of recordings.
type chunkPool struct {
	mu    sync.Mutex
	free  [][]byte
	fresh []byte // what was never lent; the system gives it when it is touched
}

func newChunkPool(bytes int) *chunkPool { return &chunkPool{fresh: outsideHeap(bytes)} }

// get returns a chunk, or nil when all are lent out.
func (p *chunkPool) get() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		chunk := p.free[n-1]
		p.free = p.free[:n-1]
		return chunk
	}
	if len(p.fresh) == 0 {
		return nil
	}
	chunk := p.fresh[:chunkSize:chunkSize]
	p.fresh = p.fresh[chunkSize:]
	return chunk
}

func (p *chunkPool) put(chunks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, chunks...)
}

// body holds one recording until it is checked and stored: in chunks of the pool, or
// in a part file of the store when it is large or the pool is empty, or sooner by
// [body.moveToPart]. It hashes what it takes.
//
// Bytes are read into [body.room] and then taken with [body.take], so that they are
// not copied; [body.end] comes after the last.
type body struct {
	pool    *chunkPool
	newPart func() (*store.Part, error)
	chunks  [][]byte // full but for the last
	part    *store.Part
	buffer  []byte // gathers what goes to the part; nil while memory is used
	waiting int    // bytes in it
	lent    bool   // the buffer is the pool's
	size    int64
	hash    hash.Hash
}

func newBody(pool *chunkPool, newPart func() (*store.Part, error)) *body {
	return &body{pool: pool, newPart: newPart, hash: sha256.New()}
}

// room returns where the next bytes are to be read to. What is not taken stays out
// of the body.
func (b *body) room() ([]byte, error) {
	switch {
	case b.buffer != nil:
		return b.buffer[b.waiting:], nil
	case int64(len(b.chunks))*chunkSize > b.size || b.grow():
		return b.chunks[len(b.chunks)-1][b.size%chunkSize:], nil
	}
	if err := b.moveToPart(); err != nil {
		return nil, err
	}
	return b.buffer, nil
}

// take appends the first n bytes of the room to the body.
func (b *body) take(n int) error {
	if b.buffer == nil {
		offset := b.size % chunkSize
		b.hash.Write(b.chunks[len(b.chunks)-1][offset : offset+int64(n)])
		b.size += int64(n)
		return nil
	}
	b.hash.Write(b.buffer[b.waiting : b.waiting+n])
	b.size += int64(n)
	if b.waiting += n; b.waiting < len(b.buffer) {
		return nil
	}
	return b.flush()
}

// flush writes what waits to the part, which the first bytes make.
func (b *body) flush() error {
	if b.waiting == 0 {
		return nil
	}
	if b.part == nil {
		var err error
		if b.part, err = b.newPart(); err != nil {
			return err
		}
	}
	_, err := b.part.Write(b.buffer[:b.waiting])
	b.waiting = 0
	return err
}

func (b *body) grow() bool {
	if b.size >= memoryLimit {
		return false
	}
	chunk := b.pool.get()
	if chunk == nil {
		return false
	}
	b.chunks = append(b.chunks, chunk)
	return true
}

// moveToPart lets all further bytes go to a part, and moves there what is in memory;
// the little that fits a buffer goes with what follows it. Once that is so it does
// nothing. After an error the body is as it was.
func (b *body) moveToPart() error {
	if b.buffer != nil {
		return nil
	}
	if len(b.chunks) == 1 && b.size < chunkSize {
		b.buffer, b.waiting, b.lent = b.chunks[0], int(b.size), true
		b.chunks = nil
		return nil
	}
	if b.size > 0 {
		part, err := b.newPart()
		if err != nil {
			return err
		}
		if _, err := (&chunkReader{chunks: b.chunks, size: b.size}).WriteTo(part); err != nil {
			part.Discard()
			return err
		}
		b.part = part
		b.pool.put(b.chunks)
		b.chunks = nil
	}
	if b.buffer = b.pool.get(); b.buffer != nil {
		b.lent = true
	} else {
		b.buffer = make([]byte, chunkSize/4)
	}
	return nil
}

// end tells that the body is whole. It gives back what only taking bytes needs: a
// body may wait for long to be stored.
func (b *body) end() error {
	err := b.flush()
	b.giveBack()
	return err
}

func (b *body) giveBack() {
	if b.lent {
		b.pool.put([][]byte{b.buffer})
	}
	b.buffer, b.lent = nil, false
}

// sum returns the SHA-256 of all that was written.
func (b *body) sum() [32]byte { return [32]byte(b.hash.Sum(nil)) }

// reader returns what was written, from its start.
func (b *body) reader() (io.ReadSeeker, error) {
	if b.part == nil {
		return &chunkReader{chunks: b.chunks, size: b.size}, nil
	}
	if _, err := b.part.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return b.part, nil
}

// discard gives the memory back and removes the file. It may be called more than
// once, and after the body was stored.
func (b *body) discard() {
	b.giveBack()
	b.pool.put(b.chunks)
	b.chunks = nil
	if b.part != nil {
		b.part.Discard()
	}
}

// chunkReader reads chunks as one stream.
type chunkReader struct {
	chunks [][]byte
	size   int64
	offset int64
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	if r.offset >= r.size {
		return 0, io.EOF
	}
	chunk := r.chunks[r.offset/chunkSize]
	from := r.offset % chunkSize
	to := min(int64(chunkSize), from+r.size-r.offset)
	n := copy(p, chunk[from:to])
	r.offset += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo, without a buffer of its own.
func (r *chunkReader) WriteTo(w io.Writer) (int64, error) {
	start := r.offset
	for r.offset < r.size {
		from := r.offset % chunkSize
		to := min(int64(chunkSize), from+r.size-r.offset)
		n, err := w.Write(r.chunks[r.offset/chunkSize][from:to])
		r.offset += int64(n)
		if err != nil {
			return r.offset - start, err
		}
	}
	return r.offset - start, nil
}

// Seek implements io.Seeker.
func (r *chunkReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek body: negative offset")
	}
	r.offset = offset
	return offset, nil
}
