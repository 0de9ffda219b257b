// The exit codes of each command with their texts for the help; exit.go decides which one applies.

package cli

// exitCode is a code that a command may end with, and what it means there.
type exitCode struct{ code, meaning string }

const (
	codeOrder   = "If several apply, the first counts: signal, 5, 2, 1, 4, 3, 0."
	codesColumn = 11

	meansFlags  = "wrong flags or configuration"
	meansUsage  = meansFlags + ", or there is no archive"
	meansStore  = "failed: the store cannot be reached or written, or a later version wrote the archive"
	meansLocked = "another run has locked this archive"
	meansSignal = "stopped cleanly by SIGINT or SIGTERM; a second signal stops at once"
)

// exitCodesOf returns the codes of a command, or those of the program for "" and for commands without their own
// texts. Numbers have the same meaning everywhere.
func exitCodesOf(command string) []exitCode {
	signal := exitCode{"130 143", meansSignal}
	switch command {
	case "archive":
		return []exitCode{
			{"0", "every recording is archived, was lost or given up in an earlier run, or waits in a day that has not settled"},
			{"1", "failed: API, media host or store unreachable for --retry-for, destination not writable, disk full, a Retry-After of more than an hour, or an archive of a later version"},
			{"2", "wrong flags or configuration; token refused; unknown campaign, list, queue or user; archive of another account"},
			{"3", "incomplete: a settled day is not closed, this run found a recording lost or gave it up, or a limit stopped the run"},
			{"5", meansLocked}, signal,
		}
	case "verify":
		return []exitCode{
			{"0", "everything is intact"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "nothing is damaged, but something could not be read (like an object in an archive storage class), the archive has none of the given days, or --max-duration stopped verify"},
			{"4", "a stored recording, or the manifest, is damaged"},
			{"5", meansLocked + " (--repair, --note)"}, signal,
		}
	case "report":
		return []exitCode{{"0", "the report was written, complete or not"}, {"1", meansStore}, {"2", meansUsage}, {"3", "--strict: the days are not complete"}, signal}
	case "find":
		return []exitCode{
			{"0", "everything was searched, even if nothing was found"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "ids of --ids-from were not found, or a recording could not be read"},
			{"4", "a day of the archive, or a recording to copy, is missing or damaged"}, {"5", "another find is copying into this folder"}, signal,
		}
	case "export":
		return []exitCode{{"0", "the tables are up to date"}, {"1", "failed: the archive cannot be read, or the target cannot be written"}, {"2", meansUsage},
			{"3", "a day could not be read, and its files stay as they were; or ids of --ids-from were not found; bagit: no call matches"},
			{"4", "bagit: the audio of a recording is missing or damaged; the rest is in the bag"}, {"5", "bagit: another export is writing this bag"}, signal}
	case "erase":
		return []exitCode{
			{"0", "the calls were erased; without --yes: the calls that would be erased were shown; list: every erasure is done"}, {"1", meansStore}, {"2", meansUsage + "; more calls match than --max-erase"},
			{"3", "nothing was erased, because something is held, locked or shared; an erasure is unfinished; or ids of --ids-from were not found, and the rest was erased"}, {"5", meansLocked}, signal,
		}
	case "lock":
		return []exitCode{
			{"0", "every recording that must be locked is locked"}, {"1", meansStore + "; or the bucket does not support locks"},
			{"2", meansUsage + "; a compliance lock without confirmation"}, {"3", "something could not be locked"}, signal,
		}
	case "hold":
		return []exitCode{
			{"0", "the hold is recorded, and set in S3 where the bucket has Object Lock"}, {"1", meansStore}, {"2", meansUsage + ", or no such case"},
			{"3", "add: no call matches, or ids were not found, and nothing was held; or something could not be read. list: a legal hold is not set in S3"},
			{"4", "add: a day of the archive is damaged, so some of its calls may not be held"}, {"5", meansLocked}, signal,
		}
	case "seal":
		return []exitCode{
			{"0", "every closed day is sealed"}, {"1", meansStore + "; or the existing seals cannot be continued"}, {"2", meansUsage + "; or the key cannot sign"},
			{"3", "--tsa gave no timestamp; the seal is stored without one"}, {"4", "the lines of a closed day do not match its closed.json, or an earlier seal; seal did not sign that day"}, {"5", meansLocked}, signal,
		}
	case "audit":
		return []exitCode{
			{"0", "nothing has changed since it was sealed; or the history was found"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "there is no seal, a recording could not be read, or the archive has no such recording or call"}, {"4", "something has changed since sealing"}, signal,
		}
	case "rebuild":
		return []exitCode{
			{"0", "every recording of the rebuilt days was found"}, {"1", meansStore}, {"2", meansUsage},
			{"3", "recordings were not found or not identified; archive downloads them"}, {"5", meansLocked}, signal,
		}
	case "deploy":
		return []exitCode{{"0", "the files were printed or written"}, {"1", "a file could not be written"}, {"2", meansFlags}}
	case "doctor":
		return []exitCode{{"0", "nothing failed, even with warnings"}, {"1", "something cannot be reached or written"}, {"2", "settings or token are wrong, or the archive belongs to another account, API address or time zone"}, signal}
	}
	return []exitCode{
		{"0", "done"},
		{"1", "failed: API or store unreachable for --retry-for, destination not writable, disk full, a Retry-After of more than an hour, or an archive of a later version"},
		{"2", "wrong flags or configuration; token refused; unknown campaign, list, queue or user; archive of another account"},
		{"3", "incomplete: a settled day is not closed, this run found a recording lost or gave it up, a limit stopped the run, or ids were not found"},
		{"4", "a recording or the manifest is damaged, or has changed since it was sealed"},
		{"5", meansLocked}, signal,
	}
}
