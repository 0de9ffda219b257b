// Measures seal, audit and rebuild.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

const noAPI = "http://127.0.0.1:1/v1" // for archives that no run continues

// proofs measures seals over the manifest of an archive of many closed days, and rebuilds of archives whose manifest is
// lost. The data is still in the page cache, so the figures show the cost of the program and not of the disk.
type proofs struct {
	*bench
	days, perDay int // to seal
	onDisk, inS3 int // recordings of the rebuilt archives
}

const (
	rebuiltPerDay  = 1000
	smallRecording = 600  // bytes
	headsAtOnce    = "64" // on both sides
)

func proof(b *bench, flags *flag.FlagSet) func(context.Context) error {
	k := &proofs{bench: b}
	flags.IntVar(&k.days, "days", 1000, "closed days to seal and to audit; 0 skips both")
	flags.IntVar(&k.perDay, "per-day", 10_000, "recordings of each day; each takes half a kilobyte of the manifest")
	flags.IntVar(&k.onDisk, "recordings", 1_000_000, "recordings on disk whose manifest is rebuilt; 0 skips the measurement")
	flags.IntVar(&k.inS3, "s3-recordings", 50_000, "recordings in S3 whose manifest is rebuilt; 0 skips the measurement")
	return k.run
}

func (k *proofs) run(ctx context.Context) error {
	if k.days > 0 {
		if err := k.seals(ctx); err != nil {
			return err
		}
	}
	if k.onDisk > 0 {
		if err := k.rebuildOnDisk(ctx); err != nil {
			return err
		}
	}
	if k.inS3 > 0 {
		return k.rebuildInS3(ctx)
	}
	return nil
}

// ours returns a command that runs the program.
func (k *proofs) ours(args ...string) command {
	return command{args: append([]string{k.program}, args...), env: s3Env(), home: filepath.Join(k.work, "home")}
}

// lastDays returns the first of n settled days.
func lastDays(days int) time.Time {
	return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days-5)
}

// seals makes closed days, seals all of them and audits the seal.
func (k *proofs) seals(ctx context.Context) error {
	folder, key := filepath.Join(k.work, "sealed"), filepath.Join(k.work, "key")
	c := closedDays{first: lastDays(k.days), days: k.days, perDay: k.perDay}
	say("make %d days of %d recordings in %s", c.days, c.perDay, folder)
	if err := makeArchive(ctx, folder, noAPI, c.days, c.makeDay); err != nil {
		return err
	}
	signers, err := makeKey(ctx, key)
	if err != nil {
		return err
	}
	if err := syncAll(ctx, k.work); err != nil {
		return err
	}
	var sealing, audits []sample
	for run := range k.runs {
		if err := os.RemoveAll(filepath.Join(folder, "seals")); err != nil {
			return fmt.Errorf("remove the seal: %w", err)
		}
		seal, err := execute(ctx, k.ours("seal", "--dest", folder, "--key", key))
		if err != nil {
			return err
		}
		audit, err := execute(ctx, k.ours("audit", "--seals", "--no-audio", "--dest", folder, "--allowed-signers", signers))
		if err != nil {
			return err
		}
		say("run %d: seal %.1f s, audit %.1f s", run+1, seconds(seal), seconds(audit))
		sealing, audits = append(sealing, seal), append(audits, audit)
	}
	k.report.note("seal and audit: %d closed days of %d recordings", c.days, c.perDay)
	k.addCosts("seal of all days", sealing, atMost(5), goal{})
	k.addCosts("audit --seals", audits, atMost(60), neverAbove(64))
	return os.RemoveAll(folder) // it takes gigabytes
}

func (k *proofs) addCosts(name string, costs []sample, wall, peak goal) {
	k.report.add(name+": s", 2, figuresOf(costs, seconds), wall)
	k.report.add("  CPU s", 2, figuresOf(costs, cpu), goal{})
	k.report.add("  peak MiB", 1, figuresOf(costs, mebibytes), peak)
}

// makeKey makes an SSH key and its file of allowed signers.
func makeKey(ctx context.Context, key string) (signers string, err error) {
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make a key by ssh-keygen: %w: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	signers = key + ".signers"
	if err := os.WriteFile(signers, fmt.Appendf(nil, "archive %s", public), 0o600); err != nil {
		return "", fmt.Errorf("write the allowed signers: %w", err)
	}
	return signers, nil
}

// rebuildOnDisk makes an archive of recordings so small that hashing takes almost no time, and rebuilds its manifest.
func (k *proofs) rebuildOnDisk(ctx context.Context) error {
	folder := filepath.Join(k.work, "rebuilt")
	days := max(1, k.onDisk/rebuiltPerDay)
	perDay := k.onDisk / days
	say("make %d days of %d recordings in %s", days, perDay, folder)
	body, err := smallBody()
	if err != nil {
		return err
	}
	made := newAccount(lastDays(days), perDay)
	err = makeArchive(ctx, folder, noAPI, days, func(ctx context.Context, ledger *manifest.Ledger, i int) error {
		return made.writeRecordings(ctx, folder, ledger, i, body)
	})
	if err != nil {
		return err
	}
	var costs []sample
	for run := range k.runs {
		if err := os.RemoveAll(filepath.Join(folder, "manifest")); err != nil {
			return fmt.Errorf("remove the manifest: %w", err)
		}
		cost, err := k.rebuild(ctx, folder, days*perDay, "--dest", folder, "--time-zone", "UTC", "--api-url", noAPI)
		if err != nil {
			return err
		}
		say("run %d: rebuild on disk %.1f s", run+1, seconds(cost))
		costs = append(costs, cost)
	}
	k.report.note("rebuild on disk: %d recordings of %d bytes in %d days", days*perDay, len(body), days)
	k.addCosts("rebuild on disk", costs, atMost(60), goal{})
	return nil
}

// smallBody returns a recording of a few bytes.
func smallBody() ([]byte, error) {
	account, err := convosotest.New(convosotest.Config{
		Seed: 1, FirstDay: firstDay, CallsPerDay: 1, RecordedShare: 1, MedianSize: smallRecording, MinSize: smallRecording, MaxSize: smallRecording,
	})
	if err != nil {
		return nil, fmt.Errorf("make a recording: %w", err)
	}
	for r := range account.Recordings() {
		return io.ReadAll(r.Body())
	}
	return nil, errors.New("make a recording: the account has none")
}

// writeRecordings writes the recordings of a day, one for each call, and the rows that list them, nothing else.
func (a *account) writeRecordings(ctx context.Context, folder string, ledger *manifest.Ledger, i int, body []byte) error {
	day, err := ledger.Load(ctx, a.day(i))
	if err != nil {
		return err
	}
	midnight := a.first.AddDate(0, 0, i)
	var calls []manifest.Call
	for n, c := range a.calls(i) {
		c.length = 1 // as long as its recording
		at := midnight.Add(time.Duration(c.second) * time.Second)
		file := fmt.Sprintf("%s_%d_%s_%d_%d_%d_%d-in-%d.mp3", accountID, 3000+c.agent, c.phone, c.lead, 100+c.campaign, at.Unix(), n, at.Unix())
		row := strings.Replace(string(a.row(c, at)), `"recording":[]`,
			fmt.Sprintf(`"recording":[{"src":"","type":"mp3","new":"1","recording_id":"%d","filename":%q,"public_url":""}]`, c.id+5_000_000_000, file), 1)
		calls = append(calls, manifest.Call{CallID: fmt.Sprint(c.id), Time: midnight.Add(80 * time.Hour), Row: []byte(row)})
		if err := os.WriteFile(filepath.Join(folder, file), body, 0o600); err != nil {
			return err
		}
	}
	return day.NoteCalls(ctx, calls)
}

// rebuild rebuilds the manifest of an archive that has lost it. The archive in folder may also be in a bucket: both
// have the same layout.
func (k *proofs) rebuild(ctx context.Context, folder string, recordings int, flags ...string) (sample, error) {
	if err := syncAll(ctx, k.work); err != nil {
		return sample{}, err
	}
	cost, err := execute(ctx, k.ours(append([]string{"rebuild"}, flags...)...))
	if err != nil {
		return sample{}, err
	}
	noted, err := notedIn(ctx, folder)
	if err == nil && noted != recordings {
		err = fmt.Errorf("rebuild: %d of %d recordings are noted", noted, recordings)
	}
	return cost, err
}

// rebuildInS3 archives an account into S3, and rebuilds its manifest, alternating with a bare loop of HEADs. Then an
// archive run continues without a download.
func (k *proofs) rebuildInS3(ctx context.Context) (err error) {
	const bucket = "rebuilt"
	days := max(1, k.inS3/rebuiltPerDay)
	account, err := openAccount(convosotest.Config{
		Zone: zone, FirstDay: lastDays(days).Format(time.DateOnly), Days: days, CallsPerDay: k.inS3 / days,
		MedianSize: smallRecording, MinSize: smallRecording, MaxSize: smallRecording,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, account.Close()) }()
	server, err := k.startS3(ctx)
	if err != nil {
		return err
	}
	defer server.close()
	folder := filepath.Join(server.dir, bucket)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make bucket: %w", err)
	}
	to := s3Flags(server.endpoint, bucket)
	archive := k.archive(account, account.MediaURL(), filepath.Join(k.work, "home"), append(to, "--media-rate", "0", "--workers", "64", "--time-zone", zone,
		"--start-time", lastDays(days).Format(time.DateOnly), "--end-time", lastDays(1).Format(time.DateOnly))...)
	say("archive %d days of %d recordings into S3", days, k.inS3/days)
	if _, err := execute(ctx, archive); err != nil {
		return err
	}
	list := filepath.Join(k.work, "keys")
	recordings, err := listKeys(folder, list)
	if err != nil {
		return err
	}
	var ours, heads []sample
	for run := range k.runs {
		if err := removeObjects(ctx, server.endpoint, bucket, folder, "manifest"); err != nil {
			return err
		}
		cost, err := k.rebuild(ctx, folder, recordings, append(to, "--workers", headsAtOnce, "--time-zone", zone, "--api-url", account.APIURL())...)
		if err != nil {
			return err
		}
		bare, err := execute(ctx, command{args: []string{k.self, roleHead, headsAtOnce, list, server.endpoint, bucket}, home: filepath.Join(k.work, "home")})
		if err != nil {
			return err
		}
		say("run %d: rebuild in S3 %.1f s, HEADs %.1f s", run+1, seconds(cost), seconds(bare))
		ours, heads = append(ours, cost), append(heads, bare)
	}
	account.ResetStats()
	again, err := execute(ctx, archive)
	if err != nil {
		return err
	}
	k.report.note("rebuild in S3: %d recordings in %d days, versitygw; %s HEADs at once on both sides", recordings, days, headsAtOnce)
	k.addCosts("rebuild in S3", ours, goal{}, goal{})
	k.addCosts("loop of HEADs", heads, goal{}, goal{})
	k.report.add("ratio of the times", 2, ratios(figuresOf(ours, seconds), figuresOf(heads, seconds)), atMost(1.2))
	k.report.add("archive over the rebuilt days: s", 2, []float64{seconds(again)}, goal{})
	k.report.add("  downloads from the vendor", 0, []float64{float64(account.Stats().Media.Requests)}, neverAbove(0))
	return nil
}

// removeObjects removes the objects below a folder of a bucket through the server, because the server stores more than
// one file for an object.
func removeObjects(ctx context.Context, endpoint, bucket, folder, below string) error {
	client := newS3Client(endpoint, 1)
	err := filepath.WalkDir(filepath.Join(folder, below), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err == nil {
			_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String(filepath.ToSlash(name))})
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the server removes empty folders
		return fmt.Errorf("remove %s from the bucket: %w", below, err)
	}
	return nil
}

// listKeys writes the keys of the recordings in a bucket, all of them at its top, into a file.
func listKeys(folder, list string) (count int, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, fmt.Errorf("list keys: %w", err)
	}
	var keys strings.Builder
	for _, entry := range entries {
		if !entry.IsDir() {
			count++
			keys.WriteString(entry.Name() + "\n")
		}
	}
	if err := os.WriteFile(list, []byte(keys.String()), 0o600); err != nil {
		return 0, fmt.Errorf("write list of keys: %w", err)
	}
	return count, nil
}
