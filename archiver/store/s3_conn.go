package store

import (
	"context"
	"io"
	"net"
	"sync"
)

// sendBuffer is how much of a body is read and sent at a time.
const sendBuffer = 64 << 10

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// lendBuffers returns a dialer whose connections share the buffers that bodies are
// sent through. net/http makes one for each body, which was half of all memory that
// a run into S3 allocated. Connections with TLS do not come by here.
func lendBuffers(dial dialer) dialer {
	buffers := &sync.Pool{New: func() any { return new([sendBuffer]byte) }}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &lendingConn{Conn: conn, buffers: buffers}, nil
	}
}

type lendingConn struct {
	net.Conn
	buffers *sync.Pool // of *[sendBuffer]byte
}

// ReadFrom implements io.ReaderFrom, which is how net/http sends a body.
func (c *lendingConn) ReadFrom(r io.Reader) (int64, error) {
	buffer := c.buffers.Get().(*[sendBuffer]byte)
	defer c.buffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, buffer[:])
}
