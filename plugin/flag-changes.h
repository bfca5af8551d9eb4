#ifndef OPENCHANGE_FLAG_CHANGES_H
#define OPENCHANGE_FLAG_CHANGES_H

#include "mail-types.h"

struct record;
struct record_batch;

/* The flag and keyword changes of one transaction, messages with the same
   change put together. */
struct flag_changes;

struct flag_changes *flag_changes_init(pool_t pool);

void flag_changes_add_flags(struct flag_changes *changes, uint32_t uid,
			    enum mail_flags set, enum mail_flags cleared);
void flag_changes_add_keywords(struct flag_changes *changes, uint32_t uid,
			       const char *const *old_keywords,
			       const char *const *new_keywords);
/* Add the records; rec has what is the same in all of them. */
void flag_changes_write(struct flag_changes *changes,
			struct record_batch *batch, const struct record *rec,
			bool with_uids);

/* Flags and keywords in one string, separated by spaces. */
void flags_append(string_t *dest, enum mail_flags flags, const char *keywords);

#endif
