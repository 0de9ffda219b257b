// Package convosotest simulates the call-log part of the Convoso API and the host
// that its recording links point to. It is an ordinary package: a demonstration, a
// benchmark and tests that run a built binary start it alike.
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
// [Server.Calls] and [Server.Recordings] tell what really is there, down to the
// SHA-256 of every body, and [Server.Stats] what was asked for.
//
// # Data
//
// Everything follows from Config.Seed: the same Config gives the same calls, links
// and audio, byte for byte. A call costs a few dozen bytes of memory and a recording
// little more than a hundred; rows and audio are made while they are sent, so that a
// hundred thousand calls or one recording of a gigabyte need no more memory than one
// of a kilobyte.
//
// Recordings can be played: each is a melody of its own, with rests. [Recording.Notes]
// tells which tone sounds when. [Oddities] adds formats that browsers play and some
// that they refuse.
//
// Each day has a call at its first and at its last second. A day on which the clocks
// go back has calls at the same wall-clock second in both of its repeated hours.
// Calls later than the simulated clock are not listed yet.
//
// # Behaviour and faults
//
// Zero values give a well-behaved API of the documented form. [Oddities] turns on
// what a client has to take in its stride, [AllBenign] all of it. [Listing] makes
// listings unreliable, [Late] makes recordings and links appear later. A [Fault]
// spoils the download of single recordings, an [APIFault] single answers of the API;
// both are given in Config, by methods while the server runs, or by a hook.
// [Server.ClearListingFaults], [Server.ReleaseLate] and [Server.ClearFaults] end all
// that, so that a later run of a client can be held to the truth.
//
// # Sources
//
// The form of requests and rows is that of the vendor's page for log/retrieve. Limits,
// error codes and the media host's behaviour are those that published clients met;
// where nothing is known, the simulator has a setting for each possibility.
package convosotest
