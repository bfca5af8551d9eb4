/* Appends to a journal folder under conditions that a real one has at the
   wrong moments only: journal-harness <folder> <condition> [count]

   The functions of libc that journal.c calls are defined here, so the
   conditions are exact and need no privilege. */

#define _GNU_SOURCE
#include "../compat.h"
#include "../journal.h"
#include "restrict-access.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static const char *folder, *condition;
static unsigned int calls = 0;

static bool is(const char *name)
{
	return strcmp(condition, name) == 0;
}

/* journal.c asks for the free space between open() and write(). */
int fstatvfs(int fd, struct statvfs *vfs_r)
{
	static int (*real)(int, struct statvfs *) = NULL;
	char path[4096], link[64];
	ssize_t len;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "fstatvfs");
	calls++;
	if ((is("deleted") && calls == 1) || is("deleted-always")) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, path, sizeof(path) - 1);
		if (len > 0) {
			path[len] = '\0';
			(void)unlink(path);
		}
	}
	if (real(fd, vfs_r) < 0)
		return -1;
	if (is("floor") && calls <= 2)
		vfs_r->f_bavail = 0;
	return 0;
}

ssize_t write(int fd, const void *data, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t) = NULL;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "write");
	if (fd > STDERR_FILENO && calls <= 2) {
		if (is("full")) {
			errno = ENOSPC;
			return -1;
		}
		if (is("short"))
			return real(fd, data, size / 2);
	}
	return real(fd, data, size);
}

/* The condition is what /proc/self/attr/current says of a process that may
   not write, "label: /usr/lib/dovecot/lmtp (enforce)". */
static bool is_label(void)
{
	return strncmp(condition, "label:", 6) == 0;
}

static int open_label(void)
{
	int fds[2];

	if (pipe(fds) < 0)
		return -1;
	dprintf(fds[1], "%s\n", condition + 6);
	(void)close(fds[1]);
	return fds[0];
}

const char *restrict_access_get_current_chroot(void)
{
	return is("chroot") ? "/srv/mail" : NULL;
}

int open(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...) = NULL;
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (real == NULL)
		real = dlsym(RTLD_NEXT, "open");
	if (is_label() && strcmp(path, "/proc/self/attr/current") == 0)
		return open_label();
	if (is_label() && strncmp(path, folder, strlen(folder)) == 0) {
		errno = EACCES;
		return -1;
	}
	if (is("read-only") && strncmp(path, folder, strlen(folder)) == 0) {
		errno = EROFS;
		return -1;
	}
	return real(path, flags, mode);
}

time_t time(time_t *time_r)
{
	static const time_t clock_back[] = {
		1800000000, 1799990000, 1800000600
	};
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (is("clock"))
		ts.tv_sec = clock_back[calls % 3];
	if (time_r != NULL)
		*time_r = ts.tv_sec;
	return ts.tv_sec;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(int argc, char *argv[])
{
	struct event *event;
	unsigned int i, count;
	char line[512];
	double start;

	if (argc < 3)
		return 2;
	folder = argv[1];
	condition = argv[2];
	count = argc > 3 ? (unsigned int)atoi(argv[3]) : 3;

	lib_init();
	event = event_create(NULL);
	start = seconds();
	for (i = 0; i < count; i++) T_BEGIN {
		snprintf(line, sizeof(line),
			 "{\"v\":1,\"ts\":1,\"event\":\"MessageNew\","
			 "\"user\":\"harness\",\"mailbox\":\"%ld.%u\","
			 "\"sep\":\"/\",\"uids\":\"1\",\"n\":%u}\n",
			 (long)getpid(), i, i);
		/* Somebody who deletes must find it quiet at times. */
		if (is("paced"))
			(void)usleep(i_rand_limit(1000));
		journal_append(event, "ocnotify_journal", folder, line,
			       strlen(line));
	} T_END;
	printf("%.2f us per append\n", (seconds() - start) * 1e6 / count);
	event_unref(&event);
	lib_deinit();
	return 0;
}
