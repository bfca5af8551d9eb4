#include "compat.h"
#include "array.h"
#include "llist.h"
#include "mail-storage-private.h"
#include "openchange-settings.h"
#include "flag-changes.h"
#include "mail-changes.h"
#include "mail-records.h"
#include "mailbox-name.h"

/* Transactions that are open: a move has one at either end. */
static struct openchange_txn *openchange_txns = NULL;

static void openchange_txn_use(struct openchange_txn *txn)
{
	if (txn->pool != NULL)
		return;
	txn->pool = pool_alloconly_create("openchange transaction", 1024);
	p_array_init(&txn->saves, txn->pool, 1);
	p_array_init(&txn->sources, txn->pool, 1);
	p_array_init(&txn->copies, txn->pool, 4);
	p_array_init(&txn->expunged, txn->pool, 4);
	p_array_init(&txn->moved, txn->pool, 4);
	txn->flags = flag_changes_init(txn->pool);
}

static void openchange_txn_free(struct openchange_txn *txn)
{
	DLLIST_REMOVE(&openchange_txns, txn);
	pool_unref(&txn->pool);
	i_free(txn);
}

static struct openchange_txn *
openchange_txn_find(const struct mailbox_transaction_context *t)
{
	struct openchange_txn *txn;

	for (txn = openchange_txns; txn != NULL; txn = txn->next) {
		if (txn->t == t)
			return txn;
	}
	return NULL;
}

static void
openchange_save_add(struct openchange_txn *txn, struct mail *mail)
{
	struct openchange_save *save;

	openchange_txn_use(txn);
	save = array_append_space(&txn->saves);
	save->save_idx = mail->transaction->save_count;
	mail_fields_read(txn->config, txn->pool, mail, &save->fields);
}

static unsigned int
openchange_source_get(struct openchange_txn *txn, struct mail *src)
{
	struct openchange_source *source;
	unsigned int i, count;

	source = array_get_modifiable(&txn->sources, &count);
	for (i = count; i > 0; i--) {
		if (source[i-1].t == src->transaction &&
		    source[i-1].box == src->box)
			return i-1;
	}
	/* The source may be closed when this is committed. */
	source = array_append_space(&txn->sources);
	source->t = src->transaction;
	source->box = src->box;
	source->seen = openchange_box_config(src->box) != NULL &&
		openchange_box_same_owner(src->box, txn->box);
	if (!source->seen)
		return count;
	openchange_box_get(src->box, &source->name);
	source->name.owner = p_strdup(txn->pool, source->name.owner);
	source->name.name = p_strdup(txn->pool, source->name.name);
	source->name.uidvalidity = openchange_box_uidvalidity(src->box);
	return count;
}

void *
openchange_mail_transaction_begin(struct mailbox_transaction_context *t)
{
	const struct openchange_config *config = openchange_box_config(t->box);
	struct openchange_txn *txn;

	if (config == NULL)
		return NULL;
	txn = i_new(struct openchange_txn, 1);
	txn->t = t;
	txn->box = t->box;
	txn->config = config;
	DLLIST_PREPEND(&openchange_txns, txn);
	return txn;
}

void openchange_mail_save(void *_txn, struct mail *mail)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL || (txn->config->events & EVENT_SAVE) == 0)
		return;
	T_BEGIN {
		openchange_save_add(txn, mail);
	} T_END;
}

void openchange_mail_copy(void *_txn, struct mail *src, struct mail *dst)
{
	struct openchange_txn *txn = _txn, *src_txn;
	struct mail_save_context *save_ctx = dst->transaction->save_ctx;
	const struct openchange_source *source;
	struct openchange_copy *copy;
	unsigned int source_idx;

	if (txn == NULL ||
	    (txn->config->events & (EVENT_COPY | EVENT_SAVE)) == 0)
		return;
	openchange_txn_use(txn);
	T_BEGIN {
		source_idx = openchange_source_get(txn, src);
	} T_END;
	source = array_idx(&txn->sources, source_idx);
	if (!source->seen) {
		/* To the target's owner a message was added. If it was moved,
		   one was expunged to the source's owner. */
		openchange_mail_save(txn, dst);
		return;
	}
	if ((txn->config->events & EVENT_COPY) == 0)
		return;

	copy = array_append_space(&txn->copies);
	copy->save_idx = dst->transaction->save_count;
	copy->source_idx = source_idx;
	copy->uid = src->uid;
	if (save_ctx != NULL && save_ctx->moving) {
		copy->moved = TRUE;
		src_txn = openchange_txn_find(src->transaction);
		if (src_txn != NULL) {
			openchange_txn_use(src_txn);
			seq_range_array_add(&src_txn->moved, src->uid);
		}
	}
}

void openchange_mail_expunge(void *_txn, struct mail *mail)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL || mail->uid == 0 ||
	    (txn->config->events & EVENT_EXPUNGE) == 0)
		return;
	openchange_txn_use(txn);
	seq_range_array_add(&txn->expunged, mail->uid);
}

void openchange_mail_update_flags(void *_txn, struct mail *mail,
				  enum mail_flags old_flags)
{
	struct openchange_txn *txn = _txn;
	enum mail_flags new_flags, set, cleared, wanted = 0;

	if (txn == NULL || mail->uid == 0)
		return;
	if ((txn->config->events & EVENT_FLAG_CHANGE) != 0)
		wanted = MAIL_FLAGS_NONRECENT & ~MAIL_DELETED;
	new_flags = mail_get_flags(mail);
	set = new_flags & ~old_flags & wanted;
	cleared = old_flags & ~new_flags & wanted;
	if ((txn->config->events & EVENT_DELETE) != 0)
		set |= new_flags & ~old_flags & MAIL_DELETED;
	if ((txn->config->events & EVENT_UNDELETE) != 0)
		cleared |= old_flags & ~new_flags & MAIL_DELETED;
	if (set == 0 && cleared == 0)
		return;
	openchange_txn_use(txn);
	flag_changes_add_flags(txn->flags, mail->uid, set, cleared);
}

void openchange_mail_update_keywords(void *_txn, struct mail *mail,
				     const char *const *old_keywords)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL || mail->uid == 0 ||
	    (txn->config->events & EVENT_FLAG_CHANGE) == 0)
		return;
	openchange_txn_use(txn);
	flag_changes_add_keywords(txn->flags, mail->uid, old_keywords,
				  mail_get_keywords(mail));
}

void openchange_mail_transaction_commit(
	void *_txn, struct mail_transaction_commit_changes *changes)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL)
		return;
	if (txn->pool != NULL) T_BEGIN {
		mail_records_write(txn, changes);
	} T_END;
	openchange_txn_free(txn);
}

void openchange_mail_transaction_rollback(void *_txn)
{
	struct openchange_txn *txn = _txn, *src_txn;
	const struct openchange_copy *copy;
	const struct openchange_source *source;

	if (txn == NULL)
		return;
	if (txn->pool != NULL) {
		/* A source that is committed nevertheless has expunged. */
		array_foreach(&txn->copies, copy) {
			source = array_idx(&txn->sources, copy->source_idx);
			src_txn = !copy->moved ? NULL :
				openchange_txn_find(source->t);
			if (src_txn != NULL && src_txn->pool != NULL) {
				seq_range_array_remove(&src_txn->moved,
						       copy->uid);
			}
		}
	}
	openchange_txn_free(txn);
}
