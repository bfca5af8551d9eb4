#ifndef OPENCHANGE_MAILBOX_EVENTS_H
#define OPENCHANGE_MAILBOX_EVENTS_H

struct mailbox;

/* Callbacks of the notify plugin. */
void openchange_mailbox_create(struct mailbox *box);
void openchange_mailbox_delete_commit(void *txn, struct mailbox *box);
void openchange_mailbox_rename(struct mailbox *src, struct mailbox *dest);
void openchange_mailbox_set_subscribed(struct mailbox *box, bool subscribed);

#endif
