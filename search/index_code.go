// Encodes and checks the values of the index.

package search

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"convoso-archiver/manifest"
)

// errDamaged means that a value of the index differs from what was written.
var errDamaged = errors.New("the index is damaged")

// seal appends a checksum of the value and its position.
func seal(value []byte, place int64) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(value, place))
}

// unseal checks and removes the checksum of a value. The error is errDamaged.
func unseal(sealed []byte, place int64) ([]byte, error) {
	if len(sealed) < crc32.Size {
		return nil, errDamaged
	}
	value, sum := sealed[:len(sealed)-crc32.Size], sealed[len(sealed)-crc32.Size:]
	if binary.BigEndian.Uint32(sum) != checksum(value, place) {
		return nil, errDamaged
	}
	return value, nil
}

func checksum(value []byte, place int64) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // made once, by the package
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(place))
	return crc32.Update(crc32.Checksum(at[:], castagnoli), castagnoli, value)
}

// callsPerBlock is the number of calls in a compressed block. Larger blocks compress better, but reading a single
// call costs more. Several blocks should fit into a page of the file.
const callsPerBlock = 32

// The flags of a call.
const (
	flagErased = 1 << iota
	flagNoRow
	flagDialedIsPhone
)

// appendCall encodes a call of a known day.
func appendCall(to []byte, c *Call) []byte {
	flags := uint64(0)
	if c.Erased {
		flags |= flagErased
	}
	if c.NoRow {
		flags |= flagNoRow
	}
	if c.NumberDialed == c.PhoneNumber {
		flags |= flagDialedIsPhone
	}
	to = binary.AppendUvarint(to, flags)
	to = binary.AppendUvarint(to, uint64(secondOf(c.Wall)))
	to = binary.AppendUvarint(to, uint64(c.Position%maxPerSecond))
	to = binary.AppendUvarint(to, uint64(c.Length+1))
	for _, text := range c.texts() {
		if text == &c.NumberDialed && flags&flagDialedIsPhone != 0 {
			continue
		}
		to = appendText(to, *text)
	}
	to = binary.AppendUvarint(to, uint64(len(c.Recordings)))
	for _, r := range c.Recordings {
		final := uint64(0)
		if r.Final {
			final = 1
		}
		to = appendText(appendText(appendText(to, r.ID), string(r.Outcome)), r.Key)
		to = binary.AppendVarint(binary.AppendUvarint(to, final), r.Size)
	}
	return to
}

// texts are the text fields in the order in which they are written.
func (f *Fields) texts() []*string {
	return []*string{
		&f.ID, &f.LeadID, &f.ListID, &f.QueueID, &f.CampaignID, &f.Campaign, &f.UserID, &f.User, &f.PhoneNumber, &f.NumberDialed,
		&f.FirstName, &f.LastName, &f.Status, &f.StatusName, &f.CallType, &f.CalledCount, &f.Comment,
	}
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// decodeCall decodes the output of appendCall. midnight is the start of the day, as wall-clock
// time.
func decodeCall(data []byte, midnight time.Time, zone *time.Location) (Call, error) {
	d := decoder{text: string(data)}
	flags := d.number()
	second, n := d.number(), d.number()
	c := Call{Day: midnight.Format(time.DateOnly), Erased: flags&flagErased != 0, NoRow: flags&flagNoRow != 0}
	c.setWall(midnight.Add(time.Duration(second)*time.Second), zone)
	c.Position = positionAt(c.Wall, int(n))
	c.Length = int(d.number()) - 1
	for _, text := range c.texts() {
		if text == &c.NumberDialed && flags&flagDialedIsPhone != 0 {
			c.NumberDialed = c.PhoneNumber
			continue
		}
		*text = d.next()
	}
	for left := d.number(); left > 0 && !d.failed; left-- {
		r := Recording{ID: d.next(), Outcome: manifest.Outcome(d.next()), Key: d.next()}
		r.Final = d.number() == 1
		r.Size = d.signed()
		c.Recordings = append(c.Recordings, r)
	}
	if d.failed {
		return Call{}, errDamaged
	}
	return c, nil
}

// decoder reads numbers and texts one after another. After a failure, all results are empty.
type decoder struct {
	text   string
	failed bool
}

func (d *decoder) number() uint64 {
	n, shift := uint64(0), 0
	for i := 0; i < len(d.text) && i < binary.MaxVarintLen64; i++ {
		b := d.text[i]
		n |= uint64(b&0x7f) << shift
		if shift += 7; b < 0x80 {
			d.text = d.text[i+1:]
			return n
		}
	}
	d.text, d.failed = "", true
	return 0
}

func (d *decoder) signed() int64 {
	n := d.number()
	if n&1 != 0 {
		return ^int64(n >> 1)
	}
	return int64(n >> 1)
}

func (d *decoder) next() string {
	n := d.number()
	if n > uint64(len(d.text)) {
		d.text, d.failed = "", true
		return ""
	}
	var text string
	text, d.text = d.text[:n], d.text[n:]
	return text
}

// packer compresses blocks of calls. It is not safe for concurrent use.
type packer struct {
	out bytes.Buffer
	w   *flate.Writer
	raw []byte
	one []byte
}

// pack encodes the calls of a block.
func (p *packer) pack(calls []Call) ([]byte, error) {
	if p.w == nil {
		p.w, _ = flate.NewWriter(nil, flate.BestSpeed) // the level is valid
	}
	p.raw = p.raw[:0]
	for i := range calls {
		p.one = appendCall(p.one[:0], &calls[i])
		p.raw = append(binary.AppendUvarint(p.raw, uint64(len(p.one))), p.one...)
	}
	p.out.Reset()
	p.w.Reset(&p.out)
	_, err := p.w.Write(p.raw)
	if err = errors.Join(err, p.w.Close()); err != nil {
		return nil, fmt.Errorf("compress calls: %w", err)
	}
	return slices.Clone(p.out.Bytes()), nil
}

// unpacker reads blocks of calls. It is not safe for concurrent use.
type unpacker struct {
	r    io.ReadCloser
	rows [][]byte
	raw  bytes.Buffer
}

// unpack returns the encoded calls of a block, valid until the next call.
func (u *unpacker) unpack(data []byte) ([][]byte, error) {
	if u.r == nil {
		u.r = flate.NewReader(bytes.NewReader(data))
	} else if err := u.r.(flate.Resetter).Reset(bytes.NewReader(data), nil); err != nil {
		return nil, errDamaged
	}
	u.raw.Reset()
	if _, err := u.raw.ReadFrom(u.r); err != nil {
		return nil, errDamaged
	}
	u.rows = u.rows[:0]
	for rest := u.raw.Bytes(); len(rest) > 0; {
		n, head := binary.Uvarint(rest)
		if head <= 0 || n > uint64(len(rest)-head) {
			return nil, errDamaged
		}
		u.rows = append(u.rows, rest[head:][:n])
		rest = rest[head+int(n):]
	}
	return u.rows, nil
}

// secondOf returns the second of the day of a wall-clock time.
func secondOf(wall time.Time) int { return wall.Hour()*3600 + wall.Minute()*60 + wall.Second() }

// packNumbers encodes numbers as differences.
func packNumbers(numbers []int) []byte {
	var data []byte
	before := 0
	for _, n := range numbers {
		data = binary.AppendVarint(data, int64(n-before))
		before = n
	}
	return data
}

func unpackNumbers(data []byte) ([]int, error) {
	numbers := make([]int, 0, len(data))
	last := 0
	for len(data) > 0 {
		n, size := binary.Varint(data)
		if size <= 0 {
			return nil, errDamaged
		}
		last += int(n)
		numbers, data = append(numbers, last), data[size:]
	}
	return numbers, nil
}

// packLengths encodes the lengths of calls for random access: the number of bytes per length, then the lengths.
func packLengths(lengths []int) []byte {
	const short, long = 2, 4
	width := short
	for _, n := range lengths {
		if n >= 1<<(8*short)-1 {
			width = long
		}
	}
	data := []byte{byte(width)}
	for _, n := range lengths {
		n++ // -1 means unknown
		for i := range width {
			data = append(data, byte(n>>(8*i)))
		}
	}
	return data
}

// lengthsOfDay are the lengths of a day's calls, encoded by packLengths.
type lengthsOfDay []byte

// at returns a length. The error is errDamaged.
func (l lengthsOfDay) at(ordinal uint32) (int, error) {
	if len(l) == 0 || l[0] == 0 || 1+(uint64(ordinal)+1)*uint64(l[0]) > uint64(len(l)) {
		return 0, errDamaged
	}
	width := int(l[0])
	n := 0
	for i, b := range l[1+int(ordinal)*width:][:width] {
		n |= int(b) << (8 * i)
	}
	return n - 1, nil
}

// packNames encodes names with their counts.
func packNames(counts map[nameOf]int) []byte {
	var data []byte
	for n, calls := range counts {
		data = appendText(appendText(binary.AppendUvarint(data, uint64(n.kind)), n.id), n.name)
		data = binary.AppendUvarint(data, uint64(calls))
	}
	return data
}

func unpackNames(data []byte) (map[nameOf]int, error) {
	counts := map[nameOf]int{}
	for d := (decoder{text: string(data)}); d.text != ""; {
		n := nameOf{kind: nameKind(d.number()), id: d.next(), name: d.next()}
		counts[n] = int(d.number())
		if d.failed {
			return nil, errDamaged
		}
	}
	return counts, nil
}
