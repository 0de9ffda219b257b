// Command release makes the files of a release: container images, archives, packages and their
// documents. The same commit always gives the same bytes. It is a separate module, because the
// program does not need the libraries that write packages: make image and make release run it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const program = "convoso-archiver"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	root := flags.String("root", "../..", "the program's module")
	image := flags.String("image", "", "write the image alone, to this `file`")
	out := flags.String("out", "", "write a whole release into this `folder`, which is new or empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || (*image == "") == (*out == "") {
		return fmt.Errorf("give one of --image and --out")
	}
	work, err := os.MkdirTemp("", "release-*")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // leftovers are harmless
	r := &release{root: *root, work: work}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if *image != "" {
		return r.writeImage(ctx, *image)
	}
	return r.writeAll(ctx, *out)
}

// release is one release in progress.
type release struct {
	root     string // of the program's module
	work     string // a folder for intermediate files
	commit   commit
	host     string // the program, for this machine
	programs map[platform][]byte
	modules  []module // linked into the program on any platform
	notices  []byte   // their licences
}

// prepare builds the program for this machine, reads its commit, and reads the licences.
func (r *release) prepare(ctx context.Context) (err error) {
	r.programs = map[platform][]byte{}
	if r.host, err = r.build(ctx, platform{}); err != nil {
		return err
	}
	if r.commit, err = readCommit(r.host); err != nil {
		return err
	}
	if r.modules, err = r.listModules(ctx); err != nil {
		return err
	}
	r.notices, err = notices(r.modules)
	return err
}

// program returns the program for a platform, built once.
func (r *release) program(ctx context.Context, on platform) ([]byte, error) {
	if built, ok := r.programs[on]; ok {
		return built, nil
	}
	path, err := r.build(ctx, on)
	if err != nil {
		return nil, err
	}
	r.programs[on], err = os.ReadFile(path)
	return r.programs[on], err
}

// writeImage writes the image to a file.
func (r *release) writeImage(ctx context.Context, name string) error {
	data, err := r.image(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	fmt.Printf("%s: %s, %s\n", name, r.imageName(), megabytes(len(data)))
	return nil
}

// writeAll writes a whole release into a folder.
func (r *release) writeAll(ctx context.Context, folder string) error {
	if r.commit.modified {
		return fmt.Errorf("the tree holds changes that are not committed: a release is of a commit alone")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("look into folder: %w", err)
	}
	if len(there) > 0 {
		return fmt.Errorf("%s is not empty: give a new folder", folder)
	}
	made, err := r.artifacts(ctx)
	if err != nil {
		return err
	}
	made = append(made, file{name: "SHA256SUMS", body: sums(made)})
	for _, f := range made {
		if err := os.WriteFile(filepath.Join(folder, f.name), f.body, 0o644); err != nil {
			return fmt.Errorf("write release: %w", err)
		}
		fmt.Printf("%-60s %s\n", f.name, megabytes(len(f.body)))
	}
	return nil
}

// artifacts returns the files of a release.
func (r *release) artifacts(ctx context.Context) ([]file, error) {
	docs, err := r.documents(ctx)
	if err != nil {
		return nil, err
	}
	var made []file
	for _, on := range platforms() {
		built, err := r.program(ctx, on)
		if err != nil {
			return nil, err
		}
		packed, err := r.archive(on, built, docs)
		if err != nil {
			return nil, err
		}
		made = append(made, packed)
		if on.os != "linux" {
			continue
		}
		packages, err := r.packages(on, built, docs)
		if err != nil {
			return nil, err
		}
		made = append(made, packages...)
	}
	image, err := r.image(ctx)
	if err != nil {
		return nil, err
	}
	var bom bytes.Buffer
	if err := writeBOM(&bom, r.commit, r.modules); err != nil {
		return nil, err
	}
	base := program + "-" + r.commit.version
	return append(made, file{name: base + ".oci.tar", body: image}, file{name: base + ".cdx.json", body: bom.Bytes()}), nil
}

func megabytes(n int) string { return strings.TrimSpace(fmt.Sprintf("%8.1f MB", float64(n)/1e6)) }
