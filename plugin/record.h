#ifndef OPENCHANGE_RECORD_H
#define OPENCHANGE_RECORD_H

#include "seq-range-array.h"

struct event;
struct openchange_config;

/* With its newline. */
#define RECORD_MAX_SIZE (64 * 1024)

/* NULL and 0 are: not in the record. */
struct record {
	const char *event;
	const char *user;
	const char *by;
	const char *mailbox;
	char sep;
	uint32_t uidvalidity;
	const char *uids;
	const char *old_mailbox;
	char old_sep;
	uint32_t old_uidvalidity;
	const char *old_uids;
	/* Separated by spaces, which flags and keywords cannot have. */
	const char *flags;
	bool have_size;
	uoff_t size;
	const char *message_id;
	const char *from;
	const char *subject;
	const char *snippet;
};

/* count UIDs from first on, which were count UIDs from old_first on. */
struct uid_pair_range {
	uint32_t first, old_first, count;
};
ARRAY_DEFINE_TYPE(uid_pair_range, struct uid_pair_range);

/* The records of one transaction on their way to the journal. */
struct record_batch {
	struct event *event;
	const struct openchange_config *config;
	uint64_t ts;
	string_t *buf;
};

void record_batch_init(struct record_batch *batch, struct event *event,
		       const struct openchange_config *config);
/* Write out what is left. */
void record_batch_deinit(struct record_batch *batch);

/* Add a record; texts that do not fit are left out. */
void record_add(struct record_batch *batch, const struct record *rec);
/* Add as many records as the set needs: 64 KiB and 1,000,000 messages each. */
void record_add_set(struct record_batch *batch, const struct record *rec,
		    const ARRAY_TYPE(seq_range) *uids);
/* The same with rec->old_uids beside rec->uids. */
void record_add_pairs(struct record_batch *batch, const struct record *rec,
		      const ARRAY_TYPE(uid_pair_range) *pairs);

/* The rest of every record of a user: what is known when he is created. */
const char *
record_tail(const char *service, const char *session, const char *cn,
	    const char *backend, const char *resolver);

#endif
