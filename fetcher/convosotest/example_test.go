package convosotest_test

import (
	"encoding/json"
	"fmt"
	"net/http"

	"convoso-archiver/fetcher/convosotest"
)

func Example() {
	server, err := convosotest.New(convosotest.Config{
		Seed: 1, CallsPerDay: 50, RecordedShare: 0.5,
		MediaFaults: map[convosotest.Fault]int{convosotest.FaultNotFound: 2},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	response, err := http.Get(server.APIURL() + "/log/retrieve?start_time=2025-05-01&end_time=2025-05-01&auth_token=" + server.Token())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	var page struct {
		Data struct {
			TotalFound string `json:"total_found"`
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		fmt.Println(err)
		return
	}
	gone := 0
	for r := range server.Recordings() {
		if r.Fault == convosotest.FaultNotFound {
			gone++
		}
	}
	fmt.Println(page.Data.TotalFound, "calls,", gone, "recordings not to be had,", server.Stats().API.Requests, "request")
	// Output: 50 calls, 2 recordings not to be had, 1 request
}
