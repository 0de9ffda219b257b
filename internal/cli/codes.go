package cli

// exitCode is a code that a command may end with, and what it means there.
type exitCode struct{ code, meaning string }

const (
	codeOrder   = "Where several apply, the order is: a signal, 5, 2, 1, 4, 3, 0."
	codesColumn = 11

	meansFlags  = "wrong flags or configuration"
	meansUsage  = meansFlags + ", or there is no such archive"
	meansStore  = "it could not go on: the store cannot be reached or written, or a later version wrote the archive"
	meansLocked = "another run holds this archive"
	meansSignal = "SIGINT, SIGTERM, after a clean stop; a second signal stops at once"
)

// exitCodesOf returns the codes of a command, or those of the program for "" and a command that has no words of its
// own. The numbers mean the same everywhere.
func exitCodesOf(command string) []exitCode {
	signal := exitCode{"130 143", meansSignal}
	switch command {
	case "archive":
		return []exitCode{
			{"0", "everything asked for is archived or known to be final, or waits in a day that has not settled"},
			{"1", "the run could not go on: API, media host or store unreachable for --retry-for, destination not writable, disk full, a Retry-After above an hour, an archive of a later version"},
			{"2", "wrong flags or configuration; token refused; a campaign, list, queue or user that the API does not know; another account's archive"},
			{"3", "the run ended, but a settled day is not closed, a recording was found lost or became final unarchived in this run, or a limit stopped it"},
			{"5", meansLocked}, signal,
		}
	case "verify":
		return []exitCode{
			{"0", "all is intact"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "nothing is damaged, but something could not be read, or --max-duration stopped it"},
			{"4", "a stored recording, or the manifest, is damaged"},
			{"5", meansLocked + " (--repair)"}, signal,
		}
	case "report":
		return []exitCode{{"0", "the report was written, whatever it says"}, {"1", meansStore}, {"2", meansUsage}, {"3", "--strict: the span is not complete"}, signal}
	case "find":
		return []exitCode{
			{"0", "the search was made, also when nothing was found"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "--ids-from: ids are not there; or a day or a recording could not be read"},
			{"4", "--copy-to: the audio of a recording is not what was archived"}, {"5", "another find copies into this folder"}, signal,
		}
	case "export":
		return []exitCode{{"0", "the tables are up to date"}, {"1", "it could not go on: the archive cannot be read, or the target not written"}, {"2", meansUsage},
			{"3", "a day could not be read, whose files stay as they were; or ids of --ids-from are not there; bagit: no call fits"},
			{"4", "bagit: a recording is not what was archived, and is left out"}, {"5", "bagit: another export writes this bag"}, signal}
	case "hold":
		return []exitCode{
			{"0", "the hold is noted, and set where the store can hold"}, {"1", meansStore}, {"2", meansUsage + "; there is no such case"},
			{"3", "add: nothing fits, or ids are not there, and nothing was held; or something could not be read. list: a legal hold is not set in S3"},
			{"4", "add: a day of the archive is damaged, whose calls are not all held"}, {"5", meansLocked}, signal,
		}
	case "erase":
		return []exitCode{
			{"0", "it is erased; or, without --yes, what would go is shown"}, {"1", meansStore}, {"2", meansUsage + "; the terms fit more than --max-erase"},
			{"3", "something is held or locked, and nothing was erased; or ids of --ids-from are not there, and the rest was"}, {"5", meansLocked}, signal,
		}
	case "lock":
		return []exitCode{
			{"0", "everything that is due is locked"}, {"1", meansStore + "; or the bucket cannot lock"},
			{"2", meansUsage + "; a compliance lock without confirmation"}, {"3", "something could not be locked"}, signal,
		}
	case "seal":
		return []exitCode{
			{"0", "what is closed is sealed"}, {"1", meansStore + "; or the seals that stand there cannot be gone on from"}, {"2", meansUsage + "; the key cannot sign"},
			{"3", "days that an older version closed are not sealed"}, {"4", "a closed day is not what its day line says, and was not sealed"}, {"5", meansLocked}, signal,
		}
	case "audit":
		return []exitCode{
			{"0", "everything is as it was sealed; the history was found"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "there is no seal, a recording could not be read, or no line names the recording"}, {"4", "something is not as it was sealed"}, signal,
		}
	case "rebuild":
		return []exitCode{
			{"0", "every recording of the days made anew was found"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "recordings were not found, or could not be told: archive fetches them"}, {"5", meansLocked}, signal,
		}
	case "deploy":
		return []exitCode{{"0", "the files were printed or written"}, {"1", "a file could not be written"}, {"2", meansFlags}}
	case "doctor":
		return []exitCode{{"0", "nothing failed"}, {"1", "something cannot be reached or written"}, {"2", "settings, token or archive have to be corrected"}, signal}
	}
	return []exitCode{
		{"0", "everything asked for is done"},
		{"1", "it could not go on: API or store unreachable for --retry-for, destination not writable, disk full, a Retry-After above an hour, an archive of a later version"},
		{"2", "wrong flags or configuration; token refused; a campaign, list, queue or user that the API does not know; another account's archive"},
		{"3", "it ended, but something is left: a settled day is not closed, a recording was found lost or became final unarchived in this run, a limit stopped it, or ids are not there"},
		{"4", "something stored, or the manifest, is damaged, or not as it was sealed"},
		{"5", meansLocked}, signal,
	}
}
