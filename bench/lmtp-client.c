/*
 * Delivers mail by LMTP over one connection and tells how long each took; when
 * an address is given, it is also the receiver of the notifications, so that
 * one clock and one loop judge which came when.
 *
 *   lmtp-client <port> [<address>]
 *
 * Prints "ready". Then, for each line "<count> <interval us> <user>
 * <patience ms>" of stdin, delivers so many mails to the user, the next one so
 * long after the last began (or at once), waits at most so long for the
 * notifications that are missing, and prints a line per mail: the times, in
 * ns, of its MAIL command, of the reply after its data and of its notification
 * (0: none came), then "end". Notifications of one user come in order, so the
 * n-th is that of the n-th mail.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

#include "clock.h"

#define MAX_COUNT 100000

struct delivery {
	uint64_t start, reply, notified;
};

static struct delivery deliveries[MAX_COUNT];
static uint64_t notified;
static int lmtp, pull = -1, pull_fd = -1;
static char input[4096];
static size_t input_used;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "lmtp-client: %s: %s\n", what, why);
	exit(1);
}

static void take_notifications(uint64_t now)
{
	char message[1024];

	while (nn_recv(pull, message, sizeof(message), NN_DONTWAIT) >= 0) {
		if (notified < MAX_COUNT)
			deliveries[notified].notified = now;
		notified++;
	}
}

/* Waits until the time, or until the server says something; takes what comes
   from the daemon meanwhile. Returns the time at which it woke. */
static uint64_t wait_until(uint64_t until, int for_reply, int *replied)
{
	struct pollfd fds[2] = { { lmtp, POLLIN, 0 }, { pull_fd, POLLIN, 0 } };
	struct timespec timeout;
	uint64_t now = now_ns(), left;

	left = until > now ? until - now : 0;
	timeout.tv_sec = (time_t)(left / 1000000000);
	timeout.tv_nsec = (long)(left % 1000000000);
	/* A negative descriptor is not looked at. */
	if (!for_reply)
		fds[0].fd = -1;
	if (ppoll(fds, 2, &timeout, NULL) < 0 && errno != EINTR)
		fail("poll", strerror(errno));
	now = now_ns();
	if (pull >= 0 && fds[1].revents != 0)
		take_notifications(now);
	*replied = for_reply && fds[0].revents != 0;
	return now;
}

/* Reads one reply, which may have several lines. Returns when it came. */
static uint64_t reply(char expected)
{
	uint64_t now = now_ns();
	int replied;
	char *end;
	ssize_t size;

	for (;;) {
		while ((end = memchr(input, '\n', input_used)) != NULL) {
			char code = input[0], more = input[3];
			size_t length = (size_t)(end - input) + 1;

			if (code != expected) {
				*end = '\0';
				fail("LMTP", input);
			}
			input_used -= length;
			memmove(input, end + 1, input_used);
			if (more != '-')
				return now;
		}
		now = wait_until(now_ns() + 30000000000u, 1, &replied);
		if (!replied)
			continue;
		size = read(lmtp, input + input_used,
			    sizeof(input) - input_used);
		if (size <= 0)
			fail("LMTP", "the server closed the connection");
		input_used += (size_t)size;
	}
}

static void say(const char *text, size_t size)
{
	if (write(lmtp, text, size) != (ssize_t)size)
		fail("LMTP", strerror(errno));
}

static void deliver(struct delivery *d, const char *user, uint64_t number)
{
	char envelope[512], mail[1024];
	int envelope_size, mail_size;

	envelope_size = snprintf(envelope, sizeof(envelope),
		"MAIL FROM:<sender@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n",
		user);
	mail_size = snprintf(mail, sizeof(mail),
		"From: Anna <anna@example.org>\r\nTo: <%s>\r\n"
		"Subject: mail %" PRIu64 "\r\n"
		"Message-ID: <%" PRIu64 ".%d@bench.example>\r\n"
		"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n"
		"hello\r\n.\r\n", user, number, number, (int)getpid());
	d->start = now_ns();
	d->notified = 0;
	say(envelope, (size_t)envelope_size);
	reply('2');
	reply('2');
	reply('3');
	say(mail, (size_t)mail_size);
	d->reply = reply('2');
}

static void run(uint64_t count, uint64_t interval_ns, const char *user,
		uint64_t patience_ms)
{
	uint64_t i, now, slot = now_ns(), deadline;
	int replied;

	notified = 0;
	memset(deliveries, 0, sizeof(deliveries));
	for (i = 0; i < count; i++) {
		for (now = now_ns(); now < slot;)
			now = wait_until(slot, 0, &replied);
		slot = now + interval_ns;
		deliver(&deliveries[i], user, i);
	}
	deadline = now_ns() + patience_ms * 1000000;
	while (pull >= 0 && notified < count && now_ns() < deadline)
		wait_until(deadline, 0, &replied);
	for (i = 0; i < count; i++)
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		       deliveries[i].start, deliveries[i].reply,
		       deliveries[i].notified);
	puts("end");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = { .sin_family = AF_INET };
	uint64_t count, interval_us, patience_ms;
	size_t size = sizeof(pull_fd);
	char line[512], user[256];
	int one = 1;

	if (argc < 2 || argc > 3)
		return 2;
	/* Timers to the microsecond, for the pace. */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	if (argc == 3) {
		pull = nn_socket(AF_SP, NN_PULL);
		if (pull < 0 || nn_bind(pull, argv[2]) < 0 ||
		    nn_getsockopt(pull, NN_SOL_SOCKET, NN_RCVFD, &pull_fd,
				  &size) < 0)
			fail(argv[2], nn_strerror(nn_errno()));
	}
	lmtp = socket(AF_INET, SOCK_STREAM, 0);
	server.sin_port = htons((uint16_t)atoi(argv[1]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(lmtp, (struct sockaddr *)&server, sizeof(server)) < 0)
		fail("connect", strerror(errno));
	setsockopt(lmtp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	reply('2');
	say("LHLO localhost\r\n", 16);
	reply('2');
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "%" SCNu64 " %" SCNu64 " %255s %" SCNu64,
			   &count, &interval_us, user, &patience_ms) != 4 ||
		    count > MAX_COUNT)
			return 2;
		run(count, interval_us * 1000, user, patience_ms);
	}
	return 0;
}
