package search

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// foldCase gives equal results exactly if strings.EqualFold is true.
func TestFoldCase(t *testing.T) {
	folded := map[string][]rune{}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r < 0xd800 || r > 0xdfff {
			folded[foldCase(string(r))] = append(folded[foldCase(string(r))], r)
		}
	}
	for key, same := range folded {
		for _, r := range same {
			if !strings.EqualFold(string(r), key) {
				t.Errorf("%q folds to %q", r, key)
			}
			for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
				if !slices.Contains(same, other) {
					t.Errorf("%q and %q fold apart", r, other)
				}
			}
		}
	}
	for _, pair := range [][2]string{{"a\xff", "A\xfe"}, {"\u212Aey", "key"}, {"ſet", "SET"}, {"", ""}} {
		if (foldCase(pair[0]) == foldCase(pair[1])) != strings.EqualFold(pair[0], pair[1]) {
			t.Errorf("%q", pair)
		}
	}
}

func TestRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	postings := map[string][]uint32{}
	var keys []string
	for range 2000 {
		key := fmt.Sprint(r.IntN(100_000))
		if r.IntN(100) == 0 {
			key, _ = cutKey(strings.Repeat(key, 10+r.IntN(20)))
		}
		if postings[key] == nil {
			keys = append(keys, key)
		}
		for range 1 + r.IntN(4)*r.IntN(200) {
			postings[key] = append(postings[key], uint32(r.IntN(1<<20)))
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		slices.Sort(postings[key])
		postings[key] = slices.Compact(postings[key])
	}
	runs := packRuns(keys, func(key string) []uint32 { return postings[key] })
	if len(runs) < 100 {
		t.Fatalf("%d runs", len(runs))
	}
	for _, want := range []keyRange{
		{}, {lo: keys[7], hi: keys[7] + "\x00"}, {lo: "5", hi: "5\xff"}, {lo: "123", hi: "123\xff"}, {lo: "x", hi: "y"}, {only: map[string]bool{keys[3]: true, keys[900]: true, "no": true}},
	} {
		var expected, got []uint32
		for _, key := range keys {
			if key >= want.lo && (want.hi == "" || key < want.hi) && (want.only == nil || want.only[key]) {
				expected = append(expected, postings[key]...)
			}
		}
		for _, run := range runs {
			var err error
			if got, err = want.search(run.data, got); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, expected) {
			t.Errorf("%+v: %d ordinals, want %d", want, len(got), len(expected))
		}
	}
}

// FuzzDecode decodes arbitrary bytes: the result is errDamaged or any value, but no panic.
func FuzzDecode(f *testing.F) {
	call := Call{Fields: Fields{ID: "9", Comment: "soon", Length: 5}, Recordings: []Recording{{ID: "R", Key: "k", Size: 7}}}
	f.Add(appendCall(nil, &call))
	f.Add(appendPosting(appendPosting(nil, "", "ab", []uint32{1, 9}), "ab", "abc", []uint32{4}))
	f.Add(packNumbers([]int{5, 3, -1}))
	f.Add(packNames(map[nameOf]int{{nameAgent, "1", "Ann"}: 3}))
	block, err := new(packer).pack([]Call{call, call})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, failed := decodeCall(data, midnightOf(20_000), testTime.Location())
		_, noPostings := keyRange{}.search(data, nil)
		_, noNumbers := unpackNumbers(data)
		_, noNames := unpackNames(data)
		_, noBlock := new(unpacker).unpack(data)
		_, unsealed := unseal(data, 1)
		_, noLength := lengthsOfDay(data).at(uint32(len(data)))
		for _, err := range []error{failed, noPostings, noNumbers, noNames, noBlock, unsealed, noLength} {
			if err != nil && !errors.Is(err, errDamaged) {
				t.Error(err)
			}
		}
	})
}

func TestLengths(t *testing.T) {
	for _, lengths := range [][]int{{-1, 0, 5, 65534}, {65535}, {1_000_000_000, -1, 0}, {}} {
		packed := lengthsOfDay(packLengths(lengths))
		for i, want := range lengths {
			if got, err := packed.at(uint32(i)); err != nil || got != want {
				t.Errorf("%d of %v: %d, %v", i, lengths, got, err)
			}
		}
		if _, err := packed.at(uint32(len(lengths))); !errors.Is(err, errDamaged) {
			t.Errorf("behind %v: %v", lengths, err)
		}
	}
}
