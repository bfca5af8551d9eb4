#include "compat.h"
#include "hex-binary.h"
#include "randgen.h"
#include "journal-remedy.h"
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_SECS 600
/* The daemon's group reads; nobody but the writer writes. */
#define SEGMENT_MODE 0640
/* The disk may hold the mail too: the last of it is not for us. */
#define FREE_SPACE_FLOOR (16ULL * 1024 * 1024)
/* A segment that is deleted under the writer twice is no accident. */
#define APPEND_TRIES 2
/* Bytes of what nobody can guess, and so cannot make a file of in advance. */
#define OWN_NAME_SIZE 8

enum journal_problem {
	JOURNAL_PROBLEM_MISSING		= 0x01,
	JOURNAL_PROBLEM_ACCESS		= 0x02,
	JOURNAL_PROBLEM_READ_ONLY	= 0x04,
	JOURNAL_PROBLEM_TAKEN		= 0x08,
	JOURNAL_PROBLEM_SPACE		= 0x10,
	JOURNAL_PROBLEM_SHORT		= 0x20,
	JOURNAL_PROBLEM_DELETED		= 0x40,
	JOURNAL_PROBLEM_OTHER		= 0x80
};

/* Problems of this process that are in the log already. */
static unsigned int journal_logged = 0;
/* The setting that names the journal which is being written to. */
static const char *journal_setting;

static void ATTR_FORMAT(4, 5)
journal_problem(struct event *event, enum journal_problem problem,
		const char *path, const char *format, ...)
{
	va_list args;

	if ((journal_logged & problem) != 0)
		return;
	journal_logged |= problem;

	va_start(args, format);
	e_error(event, "ocnotify: %s: %s: %s. "
		"Mailbox changes are not notified until this is repaired; "
		"mail is not affected (logged once per process)",
		journal_setting, path, t_strdup_vprintf(format, args));
	va_end(args);
}

static void
journal_problem_errno(struct event *event, const char *dir, const char *path)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		journal_problem(event, JOURNAL_PROBLEM_MISSING, dir,
			"The directory %s", journal_remedy_missing(dir));
		break;
	case EACCES:
	case EPERM:
		journal_problem(event, JOURNAL_PROBLEM_ACCESS, path,
			"uid %lu may not write there; %s",
			(unsigned long)geteuid(), journal_remedy_access(dir));
		break;
	case EROFS:
		journal_problem(event, JOURNAL_PROBLEM_READ_ONLY, dir,
			"%s", journal_remedy_read_only(dir));
		break;
	case ENOSPC:
	case EDQUOT:
		journal_problem(event, JOURNAL_PROBLEM_SPACE, path,
			"No space (%m); free some");
		break;
	default:
		journal_problem(event, JOURNAL_PROBLEM_OTHER, path, "%m");
		break;
	}
}

/* What keeps us from writing to this file, which has the name of a segment of
   ours and is none. NULL if it is one. */
static const char *journal_taken(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "It is not a regular file";
	if (st->st_uid != geteuid()) {
		return t_strdup_printf("It belongs to uid %lu",
				       (unsigned long)st->st_uid);
	}
	if (st->st_nlink > 1)
		return "It has several hard links";
	return NULL;
}

/* Returns the descriptor of the segment, or -1. Then taken_r says what stands
   in its place, or is NULL after logging what else is wrong. */
static int
journal_open_path(struct event *event, const char *dir, const char *path,
		  struct stat *st_r, const char **taken_r)
{
	int fd, open_errno;

	*taken_r = NULL;
	/* O_NONBLOCK: somebody's FIFO of this name must not make us wait. */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
		  O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd == -1) {
		/* In a directory with the sticky bit, the kernel may refuse
		   to open somebody else's file. */
		open_errno = errno;
		if (lstat(path, st_r) == 0)
			*taken_r = journal_taken(st_r);
		errno = open_errno;
		if (*taken_r == NULL)
			journal_problem_errno(event, dir, path);
		return -1;
	}
	if (fstat(fd, st_r) < 0) {
		journal_problem_errno(event, dir, path);
		i_close_fd(&fd);
		return -1;
	}
	*taken_r = journal_taken(st_r);
	if (*taken_r != NULL) {
		i_close_fd(&fd);
		return -1;
	}
	/* Dovecot's umask took the group's bit away. */
	if ((st_r->st_mode & 07777) != SEGMENT_MODE &&
	    fchmod(fd, SEGMENT_MODE) < 0) {
		journal_problem_errno(event, dir, path);
		i_close_fd(&fd);
		return -1;
	}
	return fd;
}

/* Whether the file that was written to is the segment still. The daemon renames
   a segment, looks whether all of it has been read, and only then unlinks it.
   So a writer who finds its file under its name after the write has written
   before the look. Otherwise nobody may see what was written. */
static bool journal_is_there(const char *path, const struct stat *st)
{
	struct stat now;

	return lstat(path, &now) == 0 ? now.st_ino == st->st_ino :
		errno != ENOENT;
}

/* In the place of a segment's usual name, one of this process's own. */
static const char *journal_own_name(void)
{
	static char name[OWN_NAME_SIZE * 2 + 1] = "";
	unsigned char random[OWN_NAME_SIZE];

	if (*name == '\0') {
#if !DOVECOT_AT_LEAST(2, 3)
		random_init();
#endif
		random_fill(random, sizeof(random));
		i_strocpy(name, binary_to_hex(random, sizeof(random)),
			  sizeof(name));
	}
	return name;
}

/* Returns the descriptor of the segment, or -1 after logging why not. */
static int
journal_open(struct event *event, const char *dir, const char **path_r,
	     struct stat *st_r)
{
	const char *prefix, *path, *taken, *own_taken;
	int fd;

	prefix = t_strdup_printf("%s/%lld.%lu", dir,
				 (long long)time(NULL) / SEGMENT_SECS,
				 (unsigned long)geteuid());
	*path_r = path = t_strconcat(prefix, ".ndjson", NULL);
	fd = journal_open_path(event, dir, path, st_r, &taken);
	if (fd != -1 || taken == NULL)
		return fd;

	*path_r = t_strconcat(prefix, ".", journal_own_name(), ".ndjson", NULL);
	fd = journal_open_path(event, dir, *path_r, st_r, &own_taken);
	if (fd == -1 && own_taken != NULL) {
		journal_problem(event, JOURNAL_PROBLEM_TAKEN, *path_r,
			"%s, as in %s; remove both", own_taken, path);
	} else if (fd != -1 && (journal_logged & JOURNAL_PROBLEM_TAKEN) == 0) {
		journal_logged |= JOURNAL_PROBLEM_TAKEN;
		e_warning(event, "ocnotify: %s: %s: %s, and "
			"has the name of a segment of uid %lu: somebody else "
			"made it. Mailbox changes are recorded in %s until "
			"the daemon has removed it; remove it if it stays "
			"(logged once per process)", journal_setting, path,
			taken, (unsigned long)geteuid(), *path_r);
	}
	return fd;
}

static bool
journal_has_space(struct event *event, int fd, const char *dir, size_t size)
{
	struct statvfs vfs;
	unsigned long long avail;

	/* A file system that does not tell (f_blocks 0) has the say when it is
	   written to. */
	if (fstatvfs(fd, &vfs) < 0 || vfs.f_blocks == 0)
		return TRUE;
	avail = (unsigned long long)vfs.f_bavail * vfs.f_frsize;
	if (avail >= FREE_SPACE_FLOOR + size)
		return TRUE;
	journal_problem(event, JOURNAL_PROBLEM_SPACE, dir,
		"Only %llu KiB are free, and the last %llu KiB are left to "
		"others; free some", avail / 1024, FREE_SPACE_FLOOR / 1024);
	return FALSE;
}

void journal_append(struct event *event, const char *setting, const char *dir,
		    const void *data, size_t size)
{
	struct stat st;
	const char *path = dir;
	ssize_t ret;
	unsigned int try;
	int fd;

	journal_setting = setting;
	for (try = 0; try < APPEND_TRIES; try++) {
		fd = journal_open(event, dir, &path, &st);
		if (fd == -1)
			return;
		if (!journal_has_space(event, fd, dir, size)) {
			i_close_fd(&fd);
			return;
		}
		/* One write(), so that no other writer gets between. */
		ret = write(fd, data, size);
		if (ret < 0)
			journal_problem_errno(event, dir, path);
		else if ((size_t)ret != size) {
			/* The rest is not written: its beginning is torn
			   already, and others may have gone on after it. */
			journal_problem(event, JOURNAL_PROBLEM_SHORT, path,
				"Only %zd of %zu bytes could be written; "
				"free some space", ret, size);
		} else if (!journal_is_there(path, &st)) {
			i_close_fd(&fd);
			continue;
		}
		i_close_fd(&fd);
		return;
	}
	journal_problem(event, JOURNAL_PROBLEM_DELETED, path,
		"Somebody deletes segments while they are being written; "
		"only the daemon should, and only old ones");
}
