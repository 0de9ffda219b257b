// Package convosotest simulates the call-log part of the Convoso API and the host that its
// recording links point to. It is an ordinary package, used by the demo, benchmarks and tests of
// the built binary.
//
// # Use
//
//	server, err := convosotest.New(convosotest.Config{Seed: 1, Days: 3, CallsPerDay: 500})
//	…
//	err = server.Start() // two listeners on loopback: the API and the media host
//	defer server.Close()
//	// ask server.APIURL() + "/log/retrieve" with auth_token = server.Token(),
//	// allow links to server.MediaURL()
//
// [Server.Calls] and [Server.Recordings] return the true data, including the SHA-256 of every body,
// and [Server.Stats] the received requests.
//
// # Data
//
// Everything is derived from Config.Seed: the same Config gives the same calls, links and audio,
// byte for byte. A call costs a few dozen bytes of memory and a recording little more than a
// hundred; rows and audio are generated while they are sent, so that a hundred thousand calls or
// one recording of a gigabyte need no more memory than one of a kilobyte.
//
// Recordings can be played: each is a different melody, with rests. [Recording.Notes] returns its
// tones. [Oddities] adds formats that browsers play and some that they do not.
//
// Each day has a call at its first and at its last second. A day at the end of daylight saving has
// calls at the same wall-clock second in both of its repeated hours. Calls later than the simulated
// clock are not listed yet.
//
// # Behaviour and faults
//
// Zero values give a well-behaved API of the documented form. [Oddities] enables deviations that a
// client must handle, [AllBenign] all of them. [Listing] makes listings unreliable, [Late] makes
// recordings and links appear later. A [Fault] affects the download of single recordings, an
// [APIFault] single answers of the API; both are set in Config, by methods while the server runs,
// or by a hook. [Server.ClearListingFaults], [Server.ReleaseLate] and [Server.ClearFaults] end all
// of this, so that a later run of a client can be compared with the truth.
//
// # Sources
//
// The form of requests and rows is that of the vendor's page for log/retrieve. Limits, error codes
// and the media host's behaviour are those seen by published clients; for unknown behaviour, the
// simulator has a setting for each possibility.
package convosotest
