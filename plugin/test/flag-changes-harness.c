/* Gives messages keywords, most of them new: flag-changes-harness <messages>
   <keywords>. Prints the records that this makes, and the bytes of the first
   one's flags. */

#include "../compat.h"
#include "array.h"
#include "../record.h"
#include "../flag-changes.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned int records = 0;
static size_t flags_size = 0;

void record_add(struct record_batch *batch ATTR_UNUSED,
		const struct record *rec)
{
	if (records++ == 0)
		flags_size = strlen(rec->flags);
}

void record_add_set(struct record_batch *batch, const struct record *rec,
		    const ARRAY_TYPE(seq_range) *uids ATTR_UNUSED)
{
	record_add(batch, rec);
}

int main(int argc, char *argv[])
{
	struct record rec = { .event = NULL };
	struct flag_changes *changes;
	const char **old_keywords, **new_keywords;
	unsigned int messages, count, i;
	pool_t pool;

	if (argc != 3)
		return 2;
	messages = atoi(argv[1]);
	count = atoi(argv[2]);
	lib_init();
	pool = pool_alloconly_create("harness", 1024);
	changes = flag_changes_init(pool);
	new_keywords = p_new(pool, const char *, count + 1);
	for (i = 0; i < count; i++)
		new_keywords[i] = p_strdup_printf(pool, "keyword-%08u", i);
	/* all but the first of them are there already */
	old_keywords = new_keywords + 1;
	for (i = 1; i <= messages; i++) {
		flag_changes_add_keywords(changes, i, old_keywords,
					  new_keywords);
	}
	flag_changes_write(changes, NULL, &rec, TRUE);
	printf("%u %zu\n", records, flags_size);
	pool_unref(&pool);
	lib_deinit();
	return 0;
}
