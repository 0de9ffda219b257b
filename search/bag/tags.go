// Writes the tag files of a bag, such as its checksums.

package bag

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	payload = "data/"

	declarationFile = "bagit.txt"
	infoFile        = "bag-info.txt"
	readmeFile      = "README.txt"
	manifestFile    = "manifest-sha256.txt"
	tagManifestFile = "tagmanifest-sha256.txt"

	declaration = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
)

// readmeFiles is the start of README.txt.
const readmeFiles = `This folder is a BagIt bag (RFC 8493).

  data/audio/       recordings, by call day and recording id; index.csv says to which call each recording belongs
  data/lines/calls/     rows of the call log, as the archive stores them
  data/lines/manifest/  manifest lines of each recording: its SHA-256, when it was downloaded, and from which host
  data/digests/     for each file below data/lines/, the SHA-256 of every line of the archive's own file, one per line
  data/seals/       seals of the archive: signatures over these lines

`

// readmeChecks is the end of README.txt. The commands need a POSIX shell, GNU coreutils, grep and
// OpenSSH.
const readmeChecks = `
1. Check that no file was changed (GNU coreutils, or Git for Windows):

  sha256sum --strict --quiet -c manifest-sha256.txt && sha256sum --strict --quiet -c tagmanifest-sha256.txt

2. Check who made the seals and when, with the public key that the owner of the archive sent you separately from this bag, as
the file key.pub. The first command makes a list of the keys that you trust; "archive" is the name that it gives to this key.
The second command must print "Good" for each seal:

  printf 'archive namespaces="convoso-archiver.seal.v1" %s\n' "$(cat key.pub)" > allowed_signers
  for s in data/seals/*.json; do ssh-keygen -Y verify -f allowed_signers -I archive -n convoso-archiver.seal.v1 -s "${s%.json}.sig" < "$s" || echo "BAD SIGNATURE: $s"; done

A file data/seals/000001.tsr is the timestamp of 000001.sig, from an authority (RFC 3161):

  openssl ts -verify -data data/seals/000001.sig -in data/seals/000001.tsr -CAfile root-of-the-authority.pem

3. Check what these seals prove. A seal names each file of lines of the archive, with a root: the SHA-256 of the file of the
same name below data/digests/. That file contains the SHA-256 of each line, without its line feed. A line of
data/lines/manifest/ gives the id of a recording, the id of its call, and the SHA-256 of its audio. index.csv gives the same
for each file in data/audio/, whose name is the id of the recording. The first command prints the files that no seal names:
only those of unsealed days. The second command prints the calls of these days, each as day and id. The others must print nothing:

  for d in data/digests/*/*/*.txt; do grep -qs "$(sha256sum < "$d" | cut -c1-64)" data/seals/*.json || echo "NOT SEALED: $d"; done
  for d in data/digests/*/*/*.txt; do grep -qs "$(sha256sum < "$d" | cut -c1-64)" data/seals/*.json || basename "${d%/*}"; done | sort -u | while read -r day; do grep -ohs '"call_id":"[^"][^"]*"' data/lines/*/"$day"/*.jsonl | cut -d'"' -f4 | sort -u | sed "s/^/$day,/"; done
  for f in data/lines/*/*/*.jsonl; do d=data/digests${f#data/lines}; grep -v ',"digest":"[0-9a-f]*"}$' "$f" | while IFS= read -r l; do printf %s "$l" | sha256sum | cut -c1-64; done | grep -vxFf "${d%.jsonl}.txt" | sed "s|.*|OTHER LINE: $f|"; done
  grep '  data/audio/[0-9]' manifest-sha256.txt | while read -r sum name; do n=${name#data/audio/}; row=$(grep "^$n," data/audio/index.csv || :); r=${row#*,}; c=${r#*,}; r=${r%%,*}; c=${c%%,*}; if grep -hF "\"recording_id\":\"$r\",\"outcome\":\"archived\"," data/lines/manifest/"${n%%/*}"/*.jsonl | grep -F "\"sha256\":\"$sum\"," | grep -qF "\"call_id\":\"$c\","; then case $r in *[!0-9]*) ;; *) [ "${n%.*}" = "${n%%/*}/$r" ] || echo "OTHER NAME: $name";; esac; else echo "NO LINE: $name"; fi; done

A line that ends with "digest" stands for an erased line, and gives the SHA-256 of that line; the record of the erasure is in
the archive, not in this bag.

4. What the seals do not prove. Nothing in this bag shows that it has all calls, lines and recordings that were exported: whoever
removes lines, their recordings and their rows of index.csv can make the checksums anew. Likewise only the checksums protect
the other columns of index.csv (numbers, names and times: the rows in data/lines/calls/ are sealed), playlist.m3u8 and
bag-info.txt. Ask the owner of the archive, separately from this bag, for the SHA-256 of tagmanifest-sha256.txt, which
export printed. If sha256sum tagmanifest-sha256.txt prints the same, and step 1 prints nothing, the bag is whole and unchanged.
`

// readme returns the text of README.txt.
func readme(s Summary, zone string) string {
	times := "Days, and call_date in index.csv and in the rows of calls, are in the time zone of the account: " + zone + ".\ncall_time in index.csv, and the times of manifest lines and seals, are in UTC.\n\n"
	return readmeFiles + times + silent(s) + proved(s) + readmeChecks
}

// Silent says how many recordings have no audio in the archive, by outcome; "" for none.
func (s Summary) Silent() string {
	all, parts := 0, []string{}
	for _, outcome := range slices.Sorted(maps.Keys(s.NoAudio)) {
		all += s.NoAudio[outcome]
		parts = append(parts, fmt.Sprintf("%d %s", s.NoAudio[outcome], outcome))
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%d (%s)", all, strings.Join(parts, ", "))
}

// silent says which recordings have no file.
func silent(s Summary) string {
	text := ""
	if s.Silent() != "" {
		text = "Recordings without audio in the archive: " + s.Silent() + ". An erased one was removed on purpose, an expired one at the end\n" +
			"of its retention (the records are in the archive, not in this bag); a lost one was no longer at the vendor.\n\n"
	}
	if s.LeftOut > 0 {
		text += fmt.Sprintf("Recordings whose audio was missing, damaged or not readable, and so is not in this bag: %d.\n\n", s.LeftOut)
	}
	return text
}

// payloadFiles are files with their checksums. It is safe for concurrent use.
type payloadFiles struct {
	mu    sync.Mutex
	list  []listedFile
	bytes int64
}

type listedFile struct{ name, sum string }

func (p *payloadFiles) add(name, sum string, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, listedFile{name, sum})
	p.bytes += size
}

// manifest returns the text of a manifest, in the order of the names.
func (p *payloadFiles) manifest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(p.list, func(a, b listedFile) int { return cmp.Compare(a.name, b.name) })
	var b strings.Builder
	for _, f := range p.list {
		b.WriteString(f.sum + "  " + encoded(f.name) + "\n")
	}
	return b.String()
}

// encoded returns a path in the encoding of a manifest (RFC 8493, 2.1.3).
func encoded(name string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(name)
}

// hashed counts and hashes written bytes.
type hashed struct {
	to   io.Writer
	hash hash.Hash
	size int64
}

func newHashed(to io.Writer) *hashed { return &hashed{to: to, hash: sha256.New()} }

// Write implements io.Writer.
func (h *hashed) Write(p []byte) (int, error) {
	n, err := h.to.Write(p)
	h.hash.Write(p[:n])
	h.size += int64(n)
	return n, err
}

func (h *hashed) sum() string { return hex.EncodeToString(h.hash.Sum(nil)) }
