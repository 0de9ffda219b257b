// Package key builds the keys that recordings are stored under, from a template and the fields of
// call and recording.
//
// A key is a path that every supported store and file system accepts: parts joined by "/", valid
// UTF-8, of printable characters, no longer than file systems and S3 allow, and with no name that
// Windows refuses. Field values are remote input: with any content, a key stays inside the archive
// and outside the folders that belong to the archive itself. Only the template's own "/" separates.
//
// Cleaning can make two names equal, and so can duplicate file names or a file system that ignores
// case. This is harmless: a store never overwrites, and package archiver tries the alternatives of
// [Names.For] in turn. Those with the recording's id are injective: two recordings never get the
// same one, with any file names, even if case is ignored.
//
// Facts about names: Microsoft, "Naming Files, Paths, and Namespaces"; AWS, "Naming Amazon S3
// objects" (1,024 bytes of UTF-8); 255 bytes a name are the limit of ext4, XFS, Btrfs and, as UTF-16
// units, which are never more, of NTFS and APFS.
package key
