/*
 * Ten thousand receivers in one process: listens on every loopback address at
 * one port, answers the handshake of a PUSH socket as a PULL socket does, and
 * counts and discards messages.
 *
 *   sp-hosts <port>
 *
 * Prints "ready". Then, for each line of stdin, prints as JSON how many
 * connections are open and how many messages have come.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDSHAKE 8
#define HEADER 8

struct connection {
	int fd;
	int shaken;
	/* Bytes of the handshake or of the header that have come. */
	unsigned int have;
	unsigned char head[HEADER];
	/* Bytes of the message that are still to come. */
	uint64_t left;
};

static uint64_t connections, messages;

static void fail(const char *what)
{
	fprintf(stderr, "sp-hosts: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void take(struct connection *c, const unsigned char *data, size_t size)
{
	size_t i = 0, part;
	int k;

	while (i < size) {
		if (c->left > 0) {
			part = size - i < c->left ? size - i : c->left;
			c->left -= part;
			i += part;
			if (c->left == 0)
				messages++;
			continue;
		}
		c->head[c->have++] = data[i++];
		if (c->have < HEADER)
			continue;
		c->have = 0;
		if (!c->shaken) {
			c->shaken = 1;
			continue;
		}
		for (c->left = 0, k = 0; k < HEADER; k++)
			c->left = c->left << 8 | c->head[k];
	}
}

static void accept_all(int listener, int poll)
{
	static const char shake[HANDSHAKE] = "\0SP\0\0\x51\0\0";
	struct epoll_event event = { .events = EPOLLIN };
	struct connection *c;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		c = calloc(1, sizeof(*c));
		if (c == NULL || write(fd, shake, HANDSHAKE) != HANDSHAKE)
			fail("accept");
		c->fd = fd;
		event.data.ptr = c;
		if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
			fail("epoll");
		connections++;
	}
}

static void read_some(struct connection *c)
{
	static unsigned char buffer[65536];
	ssize_t size = read(c->fd, buffer, sizeof(buffer));

	if (size > 0) {
		take(c, buffer, (size_t)size);
	} else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
		close(c->fd);
		free(c);
		connections--;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN }, events[256];
	struct rlimit files;
	static struct connection listening, asking;
	int listener, poll, count, i, one = 1;
	char line[64];

	if (argc != 2)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* All addresses of the loopback interface, and of no other. */
	if (setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
		fail("SO_BINDTODEVICE");
	any.sin_port = htons((uint16_t)atoi(argv[1]));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(listener, 4096) < 0)
		fail("listen");
	poll = epoll_create1(0);
	event.data.ptr = &listening;
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
	event.data.ptr = &asking;
	epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	puts("ready");
	fflush(stdout);
	for (;;) {
		count = epoll_wait(poll, events, 256, -1);
		for (i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;

			if (c == &listening) {
				accept_all(listener, poll);
			} else if (c == &asking) {
				if (fgets(line, sizeof(line), stdin) == NULL)
					return 0;
				printf("{\"connections\":%" PRIu64
				       ",\"messages\":%" PRIu64 "}\n",
				       connections, messages);
				fflush(stdout);
			} else {
				read_some(c);
			}
		}
	}
}
