/*
 * A receiver: a PULL socket of libnanomsg that counts.
 *
 *   nn-sink <address>
 *
 * Prints "ready". Then, for each line "<messages> <patience ms>" of stdin,
 * receives until so many messages have come, or none for so long, and prints
 * what came as one JSON object: messages, bytes, a sum that is the same for
 * the same messages in any order, the times of the first and the last, and
 * the CPU time of this process since the line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

#include "clock.h"

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* FNV-1a */
static uint64_t hash(const unsigned char *data, int size)
{
	uint64_t h = 0xcbf29ce484222325;
	int i;

	for (i = 0; i < size; i++)
		h = (h ^ data[i]) * 0x100000001b3;
	return h;
}

static void receive(int sock, uint64_t wanted)
{
	uint64_t messages = 0, bytes = 0, sum = 0, first = 0, last = 0;
	uint64_t cpu = cpu_us();
	unsigned char *message;
	int size;

	while (messages < wanted) {
		size = nn_recv(sock, &message, NN_MSG, 0);
		if (size < 0)
			break;
		if (messages == 0)
			first = now_ns();
		messages++;
		bytes += (uint64_t)size;
		sum += hash(message, size);
		nn_freemsg(message);
		/* A clock per message is not free. */
		if (messages == wanted)
			last = now_ns();
	}
	printf("{\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64
	       ",\"sum\":\"%016" PRIx64 "\",\"first\":%" PRIu64
	       ",\"last\":%" PRIu64 ",\"cpuUs\":%" PRIu64 "}\n",
	       messages, bytes, sum, first, last, cpu_us() - cpu);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t wanted;
	int sock, patience;
	char line[64];

	if (argc != 2)
		return 2;
	sock = nn_socket(AF_SP, NN_PULL);
	if (sock < 0 || nn_bind(sock, argv[1]) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], nn_strerror(nn_errno()));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "%" SCNu64 " %d", &wanted, &patience) != 2)
			return 2;
		nn_setsockopt(sock, NN_SOL_SOCKET, NN_RCVTIMEO, &patience,
			      sizeof(patience));
		receive(sock, wanted);
	}
	return 0;
}
