//go:build !unix || race

package archiver

// outsideHeap returns memory, here of the heap.
func outsideHeap(bytes int) []byte { return make([]byte, bytes) }
