//go:build unix && !race

package archiver

import "syscall"

// outsideHeap returns memory that the collector does not count: what bodies are held
// in is bounded by itself, and would only let all else grow by as much again. It is
// never given back, for a connection may outlive the run that read from it. The race
// detector sees accesses to the heap alone, and gets that.
func outsideHeap(bytes int) []byte {
	if bytes == 0 {
		return nil
	}
	memory, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil { // as where a limit on address space is set
		return make([]byte, bytes)
	}
	return memory
}
