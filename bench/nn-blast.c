/*
 * What libnanomsg itself can send: pushes the notifications of so many new
 * mails, the same bytes in the same order as the daemon makes of the
 * benchmark's journal, and does nothing else. One PUSH socket per receiver.
 *
 *   nn-blast <users> <address>...
 *
 * Prints "ready". Then, for each line "<messages>" of stdin, message i is
 * "<1 + i / users>.eml" of user i % users, who is at receiver user % receivers.
 * Prints the times of the first and the last call and the CPU time as JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

#include "clock.h"

#define MAX_RECEIVERS 1000

static int sockets[MAX_RECEIVERS];

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* u8 version, u16 flags, backend, eml, folder, separator */
static size_t payload(char *target, uint64_t uid)
{
	size_t at = 3;

	memcpy(target, "\x01\x02\x00", 3);
	at += (size_t)sprintf(target + at, "sogo") + 1;
	at += (size_t)sprintf(target + at, "%" PRIu64 ".eml", uid) + 1;
	at += (size_t)sprintf(target + at, "INBOX") + 1;
	target[at++] = '/';
	return at;
}

static int blast(uint64_t messages, uint64_t users, int receivers)
{
	uint64_t i, cpu = cpu_us(), start = now_ns();
	size_t size = 0;
	char buffer[64];

	for (i = 0; i < messages; i++) {
		if (i % users == 0)
			size = payload(buffer, 1 + i / users);
		if (nn_send(sockets[i % users % (uint64_t)receivers], buffer,
			    size, 0) < 0) {
			fprintf(stderr, "%s\n", nn_strerror(nn_errno()));
			return -1;
		}
	}
	printf("{\"start\":%" PRIu64 ",\"end\":%" PRIu64 ",\"cpuUs\":%" PRIu64
	       "}\n", start, now_ns(), cpu_us() - cpu);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t users, messages;
	int i, receivers = argc - 2;
	char line[64];

	if (receivers < 1 || receivers > MAX_RECEIVERS)
		return 2;
	users = strtoull(argv[1], NULL, 10);
	if (users == 0)
		return 2;
	for (i = 0; i < receivers; i++) {
		sockets[i] = nn_socket(AF_SP, NN_PUSH);
		if (sockets[i] < 0 || nn_connect(sockets[i], argv[i + 2]) < 0) {
			fprintf(stderr, "%s: %s\n", argv[i + 2],
				nn_strerror(nn_errno()));
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		messages = strtoull(line, NULL, 10);
		if (blast(messages, users, receivers) < 0)
			return 1;
	}
	return 0;
}
