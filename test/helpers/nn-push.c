/* A PUSH socket of the real libnanomsg: sends each line of hex from stdin as one message, until killed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

static char line[4 * 1024 * 1024];
static unsigned char message[2 * 1024 * 1024];

static int nibble(char digit)
{
	return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

int main(int argc, char **argv)
{
	int sock, off = 0;
	size_t i, len;

	if (argc != 2)
		return 2;
	sock = nn_socket(AF_SP, NN_PUSH);
	/* IPv6 must be switched on, but connecting to IPv4 with it on aborts in libnanomsg 1.1.5 */
	if (strchr(argv[1], '[') != NULL)
		nn_setsockopt(sock, NN_SOL_SOCKET, NN_IPV4ONLY, &off, sizeof(off));
	if (sock < 0 || nn_connect(sock, argv[1]) < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], nn_strerror(nn_errno()));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		len = strcspn(line, "\n") / 2;
		for (i = 0; i < len; i++)
			message[i] = nibble(line[2 * i]) << 4 | nibble(line[2 * i + 1]);
		if (nn_send(sock, message, len, 0) < 0) {
			fprintf(stderr, "%s\n", nn_strerror(nn_errno()));
			return 1;
		}
	}
	/* nn_close would drop what is still queued, so whoever started this ends it */
	pause();
	return 0;
}
