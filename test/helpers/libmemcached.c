/*
 * The real libmemcached as a judge: reads one question a line, answers one
 * line. Fields are hex, so that any byte can be asked about.
 *
 *   c CONFIG               what the configuration string means
 *   p CONFIG KEY...        host:port of the server of each key
 *   s CONFIG KEY VALUE     stores
 *   g CONFIG KEY           looks up
 */
#include <libmemcached/memcached.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *unhex(const char *hex, size_t *len)
{
	size_t i, n = hex == NULL ? 0 : strlen(hex) / 2;
	char *out = malloc(n + 1);

	for (i = 0; i < n; i++) {
		unsigned int byte;
		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (char)byte;
	}
	out[n] = '\0';
	*len = n;
	return out;
}

static void print_hex(const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		printf("%02x", (unsigned char)data[i]);
}

static memcached_return_t print_server(const memcached_st *memc,
				       const memcached_instance_st *server,
				       void *context)
{
	(void)memc;
	(void)context;
	printf(" %s:%u", memcached_server_name(server),
	       (unsigned int)memcached_server_port(server));
	return MEMCACHED_SUCCESS;
}

static void print_config(memcached_st *memc)
{
	memcached_server_fn callbacks[1] = { print_server };
	memcached_return_t rc;
	const char *ns =
		memcached_callback_get(memc, MEMCACHED_CALLBACK_NAMESPACE, &rc);

	printf("ok %s %s ",
	       libmemcached_string_hash((memcached_hash_t)
		memcached_behavior_get(memc, MEMCACHED_BEHAVIOR_HASH)),
	       libmemcached_string_distribution((memcached_server_distribution_t)
		memcached_behavior_get(memc, MEMCACHED_BEHAVIOR_DISTRIBUTION)));
	if (ns != NULL)
		print_hex(ns, strlen(ns));
	printf(" %llu %llu %llu %llu",
	       (unsigned long long)memcached_behavior_get(
		memc, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT),
	       (unsigned long long)memcached_behavior_get(
		memc, MEMCACHED_BEHAVIOR_POLL_TIMEOUT),
	       (unsigned long long)memcached_behavior_get(
		memc, MEMCACHED_BEHAVIOR_RETRY_TIMEOUT),
	       (unsigned long long)memcached_behavior_get(
		memc, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL));
	memcached_server_cursor(memc, callbacks, NULL, 1);
	printf("\n");
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		char *save, *field, *config, *key, *value;
		size_t config_len, key_len, value_len;
		memcached_st *memc;
		memcached_return_t rc;
		char op;

		line[strcspn(line, "\n")] = '\0';
		field = strtok_r(line, " ", &save);
		op = field[0];
		field = strtok_r(NULL, " ", &save);
		config = unhex(field, &config_len);
		memc = memcached(config, config_len);
		if (memc == NULL) {
			char error[1024];
			(void)libmemcached_check_configuration(
				config, config_len, error, sizeof(error));
			error[strcspn(error, "\n")] = '\0';
			printf("no %s\n", error);
		} else if (op == 'c') {
			print_config(memc);
		} else if (op == 'p') {
			printf("ok");
			while ((field = strtok_r(NULL, " ", &save)) != NULL) {
				key = unhex(field, &key_len);
				print_server(memc,
					memcached_server_by_key(memc, key,
								key_len, &rc),
					NULL);
				free(key);
			}
			printf("\n");
		} else if (op == 's') {
			key = unhex(strtok_r(NULL, " ", &save), &key_len);
			value = unhex(strtok_r(NULL, " ", &save), &value_len);
			rc = memcached_set(memc, key, key_len, value,
					   value_len, 0, 0);
			printf("%s %s\n", rc == MEMCACHED_SUCCESS ? "ok" : "no",
			       memcached_strerror(memc, rc));
			free(key);
			free(value);
		} else if (op == 'g') {
			uint32_t flags;
			key = unhex(strtok_r(NULL, " ", &save), &key_len);
			value = memcached_get(memc, key, key_len, &value_len,
					      &flags, &rc);
			printf("%s ", rc == MEMCACHED_SUCCESS ? "ok" : "no");
			if (rc == MEMCACHED_SUCCESS)
				print_hex(value, value_len);
			else
				printf("%s", memcached_strerror(memc, rc));
			printf("\n");
			free(value);
			free(key);
		}
		fflush(stdout);
		if (memc != NULL)
			memcached_free(memc);
		free(config);
	}
	return 0;
}
