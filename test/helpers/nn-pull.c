/* A PULL socket of the real libnanomsg: prints "ready", then each message as a line of hex, flushed at once. Messages in which the
   second argument stands are read and not printed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

int main(int argc, char **argv)
{
	int sock, off = 0, len, i;
	unsigned char *buf;

	if (argc != 2 && argc != 3)
		return 2;
	sock = nn_socket(AF_SP, NN_PULL);
	/* IPv6 must be switched on, but connecting to IPv4 with it on aborts in libnanomsg 1.1.5 */
	if (strchr(argv[1], '[') != NULL)
		nn_setsockopt(sock, NN_SOL_SOCKET, NN_IPV4ONLY, &off, sizeof(off));
	if (sock < 0 || nn_bind(sock, argv[1]) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], nn_strerror(nn_errno()));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while ((len = nn_recv(sock, &buf, NN_MSG, 0)) >= 0) {
		if (argc == 2 || memmem(buf, len, argv[2], strlen(argv[2])) == NULL) {
			for (i = 0; i < len; i++)
				printf("%02x", buf[i]);
			putchar('\n');
			fflush(stdout);
		}
		nn_freemsg(buf);
	}
	return 0;
}
