// Finds the possible keys of the recordings of a call row.

package archiver

import (
	"convoso-archiver/archiver/key"
	"convoso-archiver/fetcher"
)

// RowKeys finds the possible keys of the recordings of a row, including recordings without a line.
type RowKeys struct {
	Template  *key.Template // used when storing recordings
	PrefixLen int           // bytes that the store puts before each key
}

// Of returns the keys by identity of the recording. An unreadable row has none.
func (k *RowKeys) Of(day string, row []byte) map[string][]string {
	call, err := fetcher.ParseCall(row)
	if err != nil {
		return nil
	}
	keys := &keyMaker{template: k.Template, prefixLen: k.PrefixLen}
	facts := keys.factsOf(fetcher.Date(day), &call)
	found := map[string][]string{}
	for i := range call.Recordings {
		r := &call.Recordings[i]
		for _, possible := range keys.possible(facts, r, r.Identity, nil) {
			found[r.Identity] = append(found[r.Identity], possible.key)
		}
	}
	return found
}
