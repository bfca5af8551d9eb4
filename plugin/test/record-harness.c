/* Prints the records that record.c makes of ranges of UIDs, <first> to <last>
   each: record-harness set|pairs <first> <last> ... The messages of a pair had
   UIDs from 1 on. Or of a mailbox' name of <length> control characters, each of
   which is six in JSON, two records: record-harness name <length>. Or of a new
   message whose texts are <bytes> control characters each: record-harness texts
   <message id> <from> <subject> <snippet> */

#include "../compat.h"
#include "array.h"
#include "../openchange-settings.h"
#include "../journal.h"
#include "../record.h"

#include <stdio.h>
#include <stdlib.h>

void journal_append(struct event *event ATTR_UNUSED,
		    const char *setting ATTR_UNUSED,
		    const char *dir ATTR_UNUSED, const void *data, size_t size)
{
	fwrite(data, 1, size, stdout);
}

static const char *control_characters(const char *count)
{
	size_t length = strtoul(count, NULL, 10);
	char *text = t_malloc0(length + 1);

	memset(text, 1, length);
	return length == 0 ? NULL : text;
}

int main(int argc, char *argv[])
{
	const struct openchange_config config = { .tail = "}\n" };
	struct record rec = {
		.user = "harness", .mailbox = "INBOX", .sep = '/'
	};
	ARRAY_TYPE(seq_range) uids;
	ARRAY_TYPE(uid_pair_range) pairs;
	struct uid_pair_range pair = { .old_first = 1 };
	struct record_batch batch;
	struct event *event;
	uint32_t first, last;
	int i;

	if (argc < 3)
		return 2;
	lib_init();
	event = event_create(NULL);
	i_array_init(&uids, 8);
	i_array_init(&pairs, 8);
	for (i = 2; i + 1 < argc; i += 2) {
		first = strtoul(argv[i], NULL, 10);
		last = strtoul(argv[i + 1], NULL, 10);
		seq_range_array_add_range(&uids, first, last);
		pair.first = first;
		pair.count = last - first + 1;
		array_push_back(&pairs, &pair);
		pair.old_first += pair.count;
	}
	record_batch_init(&batch, event, &config);
	T_BEGIN {
		if (strcmp(argv[1], "name") == 0) {
			rec.event = "MailboxCreate";
			rec.mailbox = control_characters(argv[2]);
			record_add(&batch, &rec);
			record_add(&batch, &rec);
		} else if (strcmp(argv[1], "texts") == 0 && argc == 6) {
			rec.event = "MessageNew";
			rec.message_id = control_characters(argv[2]);
			rec.from = control_characters(argv[3]);
			rec.subject = control_characters(argv[4]);
			rec.snippet = control_characters(argv[5]);
			record_add(&batch, &rec);
		} else if (strcmp(argv[1], "set") == 0) {
			rec.event = "MessageExpunge";
			record_add_set(&batch, &rec, &uids);
		} else {
			rec.event = "MessageMove";
			rec.old_mailbox = "Old";
			rec.old_sep = '/';
			record_add_pairs(&batch, &rec, &pairs);
		}
	} T_END;
	record_batch_deinit(&batch);
	array_free(&uids);
	array_free(&pairs);
	event_unref(&event);
	lib_deinit();
	return 0;
}
