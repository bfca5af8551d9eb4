#ifndef OPENCHANGE_MAIL_CHANGES_H
#define OPENCHANGE_MAIL_CHANGES_H

#include "seq-range-array.h"
#include "mailbox-name.h"
#include "mail-fields.h"

struct mail;
struct mailbox_transaction_context;
struct mail_transaction_commit_changes;

struct openchange_save {
	/* place among the saves of the transaction: UIDs come at commit */
	unsigned int save_idx;
	struct mail_fields fields;
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

/* Callbacks of the notify plugin: what one transaction does to the messages of
   a mailbox. */
void *
openchange_mail_transaction_begin(struct mailbox_transaction_context *t);
void openchange_mail_save(void *txn, struct mail *mail);
void openchange_mail_copy(void *txn, struct mail *src, struct mail *dst);
void openchange_mail_expunge(void *txn, struct mail *mail);
void openchange_mail_update_flags(void *txn, struct mail *mail,
				  enum mail_flags old_flags);
void openchange_mail_update_keywords(void *txn, struct mail *mail,
				     const char *const *old_keywords);
void openchange_mail_transaction_commit(
	void *txn, struct mail_transaction_commit_changes *changes);
void openchange_mail_transaction_rollback(void *txn);

#endif
