#include "compat.h"
#include "array.h"
#include "str.h"
#include "str-sanitize.h"
#include "time-util.h"
#include "openchange-settings.h"
#include "journal.h"
#include "record.h"

/* A transaction goes out with one write() up to this size. Beyond it, each
   part of that many bytes of whole lines has one, so that memory stays
   bounded. */
#define BATCH_FLUSH_SIZE (256 * 1024)
/* ,"uids":"4294967295:4294967295","oldUids":"4294967295:4294967295" */
#define RANGE_MAX_SIZE 80
/* Readers refuse a record about more: what it takes to tell them of each must
   be bounded. */
#define RECORD_MAX_MESSAGES 1000000
/* Bytes of a name in a log line. */
#define LOGGED_NAME_MAX 255

/* That records are too long is in the log of this process already. */
static bool record_lost_logged = FALSE;

static void append_string(string_t *dest, const char *key, const char *value)
{
	if (value == NULL)
		return;
	str_printfa(dest, ",\"%s\":\"", key);
	json_append_escaped(dest, value);
	str_append_c(dest, '"');
}

static void append_number(string_t *dest, const char *key, uint64_t value)
{
	str_printfa(dest, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void append_flags(string_t *dest, const char *flags)
{
	const char *const *flag;

	if (flags == NULL)
		return;
	str_append(dest, ",\"flags\":[");
	for (flag = t_strsplit_spaces(flags, " "); *flag != NULL; flag++) {
		str_append_c(dest, '"');
		json_append_escaped(dest, *flag);
		str_append(dest, flag[1] == NULL ? "\"" : "\",");
	}
	str_append_c(dest, ']');
}

static void
append_record(string_t *dest, const struct record_batch *batch,
	      const struct record *rec)
{
	const char sep[] = { rec->sep, '\0' };
	const char old_sep[] = { rec->old_sep, '\0' };

	str_printfa(dest, "{\"v\":1,\"ts\":%llu,\"event\":\"%s\"",
		    (unsigned long long)batch->ts, rec->event);
	append_string(dest, "user", rec->user);
	append_string(dest, "by", rec->by);
	append_string(dest, "mailbox", rec->mailbox);
	if (rec->mailbox != NULL)
		append_string(dest, "sep", sep);
	if (rec->uidvalidity != 0)
		append_number(dest, "uidvalidity", rec->uidvalidity);
	append_string(dest, "uids", rec->uids);
	append_string(dest, "oldMailbox", rec->old_mailbox);
	if (rec->old_mailbox != NULL && rec->old_sep != rec->sep)
		append_string(dest, "oldSep", old_sep);
	if (rec->old_uidvalidity != 0)
		append_number(dest, "oldUidvalidity", rec->old_uidvalidity);
	append_string(dest, "oldUids", rec->old_uids);
	append_flags(dest, rec->flags);
	if (rec->have_size)
		append_number(dest, "size", rec->size);
	append_string(dest, "messageId", rec->message_id);
	append_string(dest, "from", rec->from);
	append_string(dest, "subject", rec->subject);
	append_string(dest, "snippet", rec->snippet);
	str_append(dest, batch->config->tail);
}

const char *
record_tail(const char *service, const char *session, const char *cn,
	    const char *backend, const char *resolver)
{
	string_t *str = t_str_new(256);

	append_string(str, "service", service);
	append_string(str, "session", session);
	append_string(str, "cn", cn);
	append_string(str, "backend", backend);
	append_string(str, "resolver", resolver);
	str_append(str, "}\n");
	return str_c(str);
}

void record_batch_init(struct record_batch *batch, struct event *event,
		       const struct openchange_config *config)
{
	i_zero(batch);
	batch->event = event;
	batch->config = config;
	batch->ts = i_microseconds();
	batch->buf = str_new(default_pool, 1024);
}

static void record_batch_flush(struct record_batch *batch)
{
	if (str_len(batch->buf) == 0)
		return;
	T_BEGIN {
		journal_append(batch->event, batch->config->journal_setting,
			       batch->config->journal,
			       str_data(batch->buf), str_len(batch->buf));
	} T_END;
	str_truncate(batch->buf, 0);
}

static void record_batch_flush_full(struct record_batch *batch)
{
	if (str_len(batch->buf) >= BATCH_FLUSH_SIZE)
		record_batch_flush(batch);
}

void record_batch_deinit(struct record_batch *batch)
{
	record_batch_flush(batch);
	str_free(&batch->buf);
}

static bool
record_try_add(struct record_batch *batch, const struct record *rec)
{
	size_t start = str_len(batch->buf);

	T_BEGIN {
		append_record(batch->buf, batch, rec);
	} T_END;
	if (str_len(batch->buf) - start <= RECORD_MAX_SIZE)
		return TRUE;
	str_truncate(batch->buf, start);
	return FALSE;
}

/* What cannot be recorded is counted by those who read this in its place. */
static void
record_add_lost(struct record_batch *batch, const struct record *rec)
{
	str_printfa(batch->buf, "{\"v\":1,\"ts\":%llu,\"event\":\"RecordLost\"",
		    (unsigned long long)batch->ts);
	append_string(batch->buf, "user", rec->user);
	append_string(batch->buf, "lost", rec->event);
	str_append(batch->buf, "}\n");

	if (record_lost_logged)
		return;
	record_lost_logged = TRUE;
	T_BEGIN {
		e_error(batch->event, "ocnotify: %s of user %s in mailbox "
			"%s is not notified: its record would be longer than "
			"%u bytes. Shorten openchange_resolver or "
			"openchange_backend, or the mailbox's name "
			"(logged once per process)", rec->event,
			str_sanitize(rec->user, LOGGED_NAME_MAX),
			str_sanitize(rec->mailbox, LOGGED_NAME_MAX),
			RECORD_MAX_SIZE);
	} T_END;
}

/* A message may be told without its flags; a change of flags may not. */
static bool record_is_about_flags(const struct record *rec)
{
	return strncmp(rec->event, "Flags", 5) == 0;
}

static bool
record_try_add_shorter(struct record_batch *batch, const struct record *rec)
{
	struct record shorter = *rec;

	/* Only a message ID has no limit of its own. */
	shorter.message_id = NULL;
	if (record_try_add(batch, &shorter))
		return TRUE;
	shorter.from = NULL;
	shorter.subject = NULL;
	shorter.snippet = NULL;
	if (!record_is_about_flags(rec))
		shorter.flags = NULL;
	return record_try_add(batch, &shorter);
}

void record_add(struct record_batch *batch, const struct record *rec)
{
	if (!record_try_add(batch, rec) && !record_try_add_shorter(batch, rec))
		record_add_lost(batch, rec);
	record_batch_flush_full(batch);
}

/* Bytes that a record has for its sets. */
static size_t
record_set_space(const struct record_batch *batch, const struct record *rec)
{
	struct record empty = *rec;
	size_t size;

	empty.uids = empty.old_uids = NULL;
	T_BEGIN {
		string_t *str = t_str_new(1024);

		append_record(str, batch, &empty);
		size = str_len(str) + RANGE_MAX_SIZE;
	} T_END;
	return size >= RECORD_MAX_SIZE ? 0 : RECORD_MAX_SIZE - size;
}

static void append_range(string_t *dest, uint32_t first, uint32_t count)
{
	if (str_len(dest) > 0)
		str_append_c(dest, ',');
	str_printfa(dest, "%u", first);
	if (count > 1)
		str_printfa(dest, ":%u", first + count - 1);
}

static void
record_add_ranges(struct record_batch *batch, struct record *rec,
		  string_t *uids, string_t *old_uids)
{
	if (str_len(uids) == 0)
		return;
	rec->uids = str_c(uids);
	rec->old_uids = str_len(old_uids) == 0 ? NULL : str_c(old_uids);
	record_add(batch, rec);
	str_truncate(uids, 0);
	str_truncate(old_uids, 0);
}

void record_add_set(struct record_batch *batch, const struct record *rec,
		    const ARRAY_TYPE(seq_range) *uids)
{
	struct record part = *rec;
	size_t space = record_set_space(batch, rec);
	const struct seq_range *range;
	uint32_t count = 0, left, n;
	string_t *set, *none;

	if (space == 0) {
		record_add_lost(batch, rec);
		record_batch_flush_full(batch);
		return;
	}
	set = str_new(default_pool, 128);
	none = t_str_new(1);
	array_foreach(uids, range) {
		left = range->seq2 - range->seq1 + 1;
		while (left > 0) {
			n = I_MIN(left, RECORD_MAX_MESSAGES - count);
			append_range(set, range->seq2 - left + 1, n);
			left -= n;
			count += n;
			if (count < RECORD_MAX_MESSAGES &&
			    str_len(set) + RANGE_MAX_SIZE <= space)
				continue;
			record_add_ranges(batch, &part, set, none);
			count = 0;
		}
	}
	record_add_ranges(batch, &part, set, none);
	str_free(&set);
}

void record_add_pairs(struct record_batch *batch, const struct record *rec,
		      const ARRAY_TYPE(uid_pair_range) *pairs)
{
	struct record part = *rec;
	size_t space = record_set_space(batch, rec);
	const struct uid_pair_range *pair;
	uint32_t count = 0, done, n;
	string_t *set, *old_set;

	if (space == 0) {
		record_add_lost(batch, rec);
		record_batch_flush_full(batch);
		return;
	}
	set = str_new(default_pool, 128);
	old_set = str_new(default_pool, 128);
	array_foreach(pairs, pair) {
		done = 0;
		while (done < pair->count) {
			n = I_MIN(pair->count - done,
				  RECORD_MAX_MESSAGES - count);
			append_range(set, pair->first + done, n);
			append_range(old_set, pair->old_first + done, n);
			done += n;
			count += n;
			if (count < RECORD_MAX_MESSAGES &&
			    str_len(set) + str_len(old_set) +
			    RANGE_MAX_SIZE <= space)
				continue;
			record_add_ranges(batch, &part, set, old_set);
			count = 0;
		}
	}
	record_add_ranges(batch, &part, set, old_set);
	str_free(&set);
	str_free(&old_set);
}
