// Writes tables as Parquet.

package export

import (
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	// rowsPerGroup limits the part of a file in memory to some megabytes.
	rowsPerGroup = 50_000
	// bloomBits gives one false positive in a hundred.
	bloomBits = 10
	batchRows = 256
)

// parquetFile writes one table as Parquet, one file after another. The same rows give the same bytes: each file has a
// new writer, because a reused one omits some statistics (v0.32.0).
type parquetFile[T any] struct {
	options []parquet.WriterOption
	writer  *parquet.GenericWriter[T]
	batch   []T
}

func newParquetFile[T any](bloom []string) *parquetFile[T] {
	var filters []parquet.BloomFilterColumn
	for _, name := range bloom {
		filters = append(filters, parquet.SplitBlockFilter(bloomBits, name))
	}
	return &parquetFile[T]{
		batch: make([]T, 0, batchRows),
		options: []parquet.WriterOption{
			parquet.SchemaOf(new(T)),
			parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
			parquet.DataPageVersion(1), // version 2 cannot be read by older Spark and Hive
			parquet.MaxRowsPerRowGroup(rowsPerGroup),
			parquet.BloomFilters(filters...),
			parquet.CreatedBy("convoso-archiver", "1", ""),
		},
	}
}

func (p *parquetFile[T]) begin(w io.Writer) error {
	p.batch = p.batch[:0]
	p.writer = parquet.NewGenericWriter[T](w, p.options...)
	return nil
}

func (p *parquetFile[T]) write(row *T) error {
	p.batch = append(p.batch, *row)
	if len(p.batch) < batchRows {
		return nil
	}
	return p.flush()
}

func (p *parquetFile[T]) flush() error {
	_, err := p.writer.Write(p.batch)
	clear(p.batch)
	p.batch = p.batch[:0]
	return err
}

func (p *parquetFile[T]) end() error {
	if err := p.flush(); err != nil {
		return err
	}
	return p.writer.Close()
}
