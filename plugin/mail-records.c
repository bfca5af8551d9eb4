#include "compat.h"
#include "array.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "openchange-settings.h"
#include "flag-changes.h"
#include "mail-changes.h"
#include "mail-records.h"
#include "mailbox-name.h"
#include "record.h"

static bool is_delivery(struct mailbox *box)
{
	const char *service = box->storage->user->service;

	/* The flag alone is not enough: a Sieve script may run inside of
	   IMAP. */
	return (box->flags & MAILBOX_FLAG_POST_SESSION) != 0 &&
		service != NULL && (strcmp(service, "lda") == 0 ||
				    strcmp(service, "lmtp") == 0);
}

static void
write_saves(struct openchange_txn *txn, struct record_batch *batch,
	    const struct record *common,
	    const ARRAY_TYPE(seq_range) *saved_uids)
{
	struct seq_range_iter iter;
	const struct openchange_save *save;
	struct record rec = *common;
	uint32_t uid;

	rec.event = is_delivery(txn->box) ?
		"MessageNew" : "MessageAppend";
	seq_range_array_iter_init(&iter, saved_uids);
	array_foreach(&txn->saves, save) T_BEGIN {
		rec.uids = NULL;
		if ((txn->config->fields & FIELD_UID) != 0 &&
		    seq_range_array_iter_nth(&iter, save->save_idx, &uid) &&
		    uid != 0)
			rec.uids = t_strdup_printf("%u", uid);
		mail_fields_set(&save->fields, &rec);
		record_add(batch, &rec);
	} T_END;
}

static void
write_pairs(struct openchange_txn *txn, struct record_batch *batch,
	    const struct record *common,
	    const struct openchange_copy *copy,
	    ARRAY_TYPE(uid_pair_range) *pairs)
{
	const struct openchange_source *source =
		array_idx(&txn->sources, copy->source_idx);
	struct record rec = *common;

	rec.event = copy->moved ? "MessageMove" : "MessageCopy";
	rec.old_mailbox = source->name.name;
	rec.old_sep = source->name.sep;
	if ((txn->config->fields & FIELD_UID) != 0)
		rec.old_uidvalidity = source->name.uidvalidity;
	if (array_count(pairs) > 0)
		record_add_pairs(batch, &rec, pairs);
	else
		record_add(batch, &rec);
	array_clear(pairs);
}

static void
write_copies(struct openchange_txn *txn, struct record_batch *batch,
	     const struct record *common,
	     const ARRAY_TYPE(seq_range) *saved_uids)
{
	ARRAY_TYPE(uid_pair_range) pairs;
	struct uid_pair_range *last = NULL;
	struct seq_range_iter iter;
	const struct openchange_copy *copy, *first = NULL;
	uint32_t uid;

	if (array_count(&txn->copies) == 0)
		return;
	p_array_init(&pairs, txn->pool, 4);
	seq_range_array_iter_init(&iter, saved_uids);
	array_foreach(&txn->copies, copy) {
		if (first != NULL && (first->source_idx != copy->source_idx ||
				      first->moved != copy->moved)) {
			write_pairs(txn, batch, common, first, &pairs);
			first = NULL;
		}
		if (first == NULL) {
			first = copy;
			last = NULL;
		}
		/* With one of the two missing, positions would not match. */
		if ((txn->config->fields & FIELD_UID) == 0 || copy->uid == 0 ||
		    !seq_range_array_iter_nth(&iter, copy->save_idx, &uid) ||
		    uid == 0)
			continue;
		if (last != NULL && last->first + last->count == uid &&
		    last->old_first + last->count == copy->uid) {
			last->count++;
			continue;
		}
		last = array_append_space(&pairs);
		last->first = uid;
		last->old_first = copy->uid;
		last->count = 1;
	}
	write_pairs(txn, batch, common, first, &pairs);
}

static void
write_expunges(struct openchange_txn *txn, struct record_batch *batch,
	       const struct record *common)
{
	struct record rec = *common;

	seq_range_array_remove_seq_range(&txn->expunged, &txn->moved);
	if (array_count(&txn->expunged) == 0)
		return;
	rec.event = "MessageExpunge";
	if ((txn->config->fields & FIELD_UID) != 0)
		record_add_set(batch, &rec, &txn->expunged);
	else
		record_add(batch, &rec);
}

void mail_records_write(struct openchange_txn *txn,
			struct mail_transaction_commit_changes *changes)
{
	struct record_batch batch;
	struct openchange_box box;
	struct record common;

	openchange_box_get(txn->box, &box);
	/* 0 unless something was saved */
	box.uidvalidity = changes->uid_validity != 0 ? changes->uid_validity :
		openchange_box_uidvalidity(txn->box);
	openchange_record_init(&common, txn->config, txn->box, &box);

	record_batch_init(&batch,
			  openchange_user_event(txn->box->storage->user),
			  txn->config);
	write_saves(txn, &batch, &common, &changes->saved_uids);
	write_copies(txn, &batch, &common, &changes->saved_uids);
	flag_changes_write(txn->flags, &batch, &common,
			   (txn->config->fields & FIELD_UID) != 0);
	write_expunges(txn, &batch, &common);
	record_batch_deinit(&batch);
}
