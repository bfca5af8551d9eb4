#include "compat.h"
#include "array.h"
#include "llist.h"
#include "str.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "notify-plugin.h"
#include "openchange-settings.h"
#include "flag-changes.h"
#include "mailbox-events.h"
#include "mailbox-name.h"
#include "record.h"
#include "uidlist-lock.h"
#include "user-store.h"

/* from and subject: what a header line may have */
#define TEXT_MAX_SIZE 998
/* A longer one is left out: a part of it would be another message's. All of a
   transaction are kept until it is committed. */
#define MESSAGE_ID_MAX_SIZE (8 * 1024)

const char *openchange_plugin_version = DOVECOT_ABI_VERSION;
const char *openchange_plugin_dependencies[] = { "notify", NULL };

struct openchange_save {
	/* place among the saves of the transaction: UIDs come at commit */
	unsigned int save_idx;
	bool have_size;
	uoff_t size;
	const char *message_id;
	const char *from;
	const char *subject;
	const char *flags;
};

/* Where messages are copied from. */
struct openchange_source {
	const struct mailbox_transaction_context *t;
	const struct mailbox *box;
	/* FALSE: the target's owner does not see the source */
	bool seen;
	struct openchange_box name;
};

struct openchange_copy {
	unsigned int save_idx;
	unsigned int source_idx;
	uint32_t uid;
	bool moved;
};

struct openchange_txn {
	struct openchange_txn *prev, *next;

	struct mailbox_transaction_context *t;
	struct mailbox *box;
	const struct openchange_config *config;

	/* NULL as long as nothing has changed: most transactions only read */
	pool_t pool;
	ARRAY(struct openchange_save) saves;
	ARRAY(struct openchange_source) sources;
	ARRAY(struct openchange_copy) copies;
	struct flag_changes *flags;
	ARRAY_TYPE(seq_range) expunged;
	/* messages whose expunge is the other half of a move */
	ARRAY_TYPE(seq_range) moved;
};

static struct notify_context *openchange_ctx;
/* Transactions that are open: a move has one at either end. */
static struct openchange_txn *openchange_txns = NULL;

static bool openchange_is_delivery(struct mailbox *box)
{
	const char *service = box->storage->user->service;

	/* The flag alone is not enough: a Sieve script may run inside of
	   IMAP. */
	return (box->flags & MAILBOX_FLAG_POST_SESSION) != 0 &&
		service != NULL && (strcmp(service, "lda") == 0 ||
				    strcmp(service, "lmtp") == 0);
}

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

static const char *openchange_text(pool_t pool, const char *text)
{
	size_t len = strlen(text);

	if (len > TEXT_MAX_SIZE) {
		len = TEXT_MAX_SIZE;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	return p_strndup(pool, text, len);
}

static void
openchange_save_add(struct openchange_txn *txn, struct mail *mail)
{
	enum openchange_field fields = txn->config->fields;
	struct openchange_save *save;
	const char *value;

	openchange_txn_use(txn);
	save = array_append_space(&txn->saves);
	save->save_idx = mail->transaction->save_count;
	if ((fields & FIELD_SIZE) != 0)
		save->have_size =
			mail_get_physical_size(mail, &save->size) == 0;
	if ((fields & FIELD_MSGID) != 0 &&
	    mail_get_first_header(mail, "Message-ID", &value) > 0 &&
	    strlen(value) <= MESSAGE_ID_MAX_SIZE)
		save->message_id = p_strdup(txn->pool, value);
	if ((fields & FIELD_FROM) != 0 &&
	    mail_get_first_header_utf8(mail, "From", &value) > 0)
		save->from = openchange_text(txn->pool, value);
	if ((fields & FIELD_SUBJECT) != 0 &&
	    mail_get_first_header_utf8(mail, "Subject", &value) > 0)
		save->subject = openchange_text(txn->pool, value);
	if ((fields & FIELD_FLAGS) != 0) {
		string_t *str = t_str_new(64);

		flags_append(str, mail_get_flags(mail),
			t_strarray_join(mail_get_keywords(mail), " "));
		save->flags = p_strdup(txn->pool, str_c(str));
	}
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

static void *
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

static void openchange_mail_save(void *_txn, struct mail *mail)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL || (txn->config->events & EVENT_SAVE) == 0)
		return;
	T_BEGIN {
		openchange_save_add(txn, mail);
	} T_END;
}

static void
openchange_mail_copy(void *_txn, struct mail *src, struct mail *dst)
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

static void openchange_mail_expunge(void *_txn, struct mail *mail)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL || mail->uid == 0 ||
	    (txn->config->events & EVENT_EXPUNGE) == 0)
		return;
	openchange_txn_use(txn);
	seq_range_array_add(&txn->expunged, mail->uid);
}

static void
openchange_mail_update_flags(void *_txn, struct mail *mail,
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

static void
openchange_mail_update_keywords(void *_txn, struct mail *mail,
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

static void
openchange_write_saves(struct openchange_txn *txn, struct record_batch *batch,
		       const struct record *common,
		       const ARRAY_TYPE(seq_range) *saved_uids)
{
	struct seq_range_iter iter;
	const struct openchange_save *save;
	struct record rec = *common;
	uint32_t uid;

	rec.event = openchange_is_delivery(txn->box) ?
		"MessageNew" : "MessageAppend";
	seq_range_array_iter_init(&iter, saved_uids);
	array_foreach(&txn->saves, save) T_BEGIN {
		rec.uids = NULL;
		if ((txn->config->fields & FIELD_UID) != 0 &&
		    seq_range_array_iter_nth(&iter, save->save_idx, &uid) &&
		    uid != 0)
			rec.uids = t_strdup_printf("%u", uid);
		rec.have_size = save->have_size;
		rec.size = save->size;
		rec.message_id = save->message_id;
		rec.from = save->from;
		rec.subject = save->subject;
		rec.flags = save->flags;
		record_add(batch, &rec);
	} T_END;
}

static void
openchange_write_pairs(struct openchange_txn *txn, struct record_batch *batch,
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
openchange_write_copies(struct openchange_txn *txn, struct record_batch *batch,
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
			openchange_write_pairs(txn, batch, common,
					       first, &pairs);
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
	openchange_write_pairs(txn, batch, common, first, &pairs);
}

static void
openchange_write_expunges(struct openchange_txn *txn,
			  struct record_batch *batch,
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

static void
openchange_txn_write(struct openchange_txn *txn,
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
	openchange_write_saves(txn, &batch, &common, &changes->saved_uids);
	openchange_write_copies(txn, &batch, &common, &changes->saved_uids);
	flag_changes_write(txn->flags, &batch, &common,
			   (txn->config->fields & FIELD_UID) != 0);
	openchange_write_expunges(txn, &batch, &common);
	record_batch_deinit(&batch);
}

static void
openchange_mail_transaction_commit(
	void *_txn, struct mail_transaction_commit_changes *changes)
{
	struct openchange_txn *txn = _txn;

	if (txn == NULL)
		return;
	if (txn->pool != NULL) T_BEGIN {
		openchange_txn_write(txn, changes);
	} T_END;
	openchange_txn_free(txn);
}

static void openchange_mail_transaction_rollback(void *_txn)
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

static void openchange_mailbox_allocated(struct mailbox *box)
{
	const struct openchange_config *config = openchange_box_config(box);

	if (config != NULL && (config->fields & FIELD_UID) != 0 &&
	    (config->events & (EVENT_SAVE | EVENT_COPY)) != 0)
		uidlist_lock_mailbox_allocated(box);
}

static const struct notify_vfuncs openchange_vfuncs = {
	.mail_transaction_begin = openchange_mail_transaction_begin,
	.mail_save = openchange_mail_save,
	.mail_copy = openchange_mail_copy,
	.mail_expunge = openchange_mail_expunge,
	.mail_update_flags = openchange_mail_update_flags,
	.mail_update_keywords = openchange_mail_update_keywords,
	.mail_transaction_commit = openchange_mail_transaction_commit,
	.mail_transaction_rollback = openchange_mail_transaction_rollback,
	.mailbox_create = openchange_mailbox_create,
	.mailbox_delete_commit = openchange_mailbox_delete_commit,
	.mailbox_rename = openchange_mailbox_rename,
	.mailbox_set_subscribed = openchange_mailbox_set_subscribed
};

static struct mail_storage_hooks openchange_mail_storage_hooks = {
	.mail_user_created = openchange_mail_user_created,
	.mail_namespaces_created = openchange_mail_namespaces_created,
	.mailbox_allocated = openchange_mailbox_allocated
};

void openchange_plugin_init(struct module *module);
void openchange_plugin_deinit(void);

void openchange_plugin_init(struct module *module)
{
	openchange_ctx = notify_register(&openchange_vfuncs);
	mail_storage_hooks_add(module, &openchange_mail_storage_hooks);
}

void openchange_plugin_deinit(void)
{
	mail_storage_hooks_remove(&openchange_mail_storage_hooks);
	openchange_notify_unregister(openchange_ctx);
}
