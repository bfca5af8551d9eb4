#ifndef OPENCHANGE_UIDLIST_LOCK_H
#define OPENCHANGE_UIDLIST_LOCK_H

struct mailbox;

/* Make commits of new messages to a Maildir try harder for the lock without
   which their messages get no UID. To be called for a mailbox that was just
   allocated; mailboxes of other formats are left as they are. */
void uidlist_lock_mailbox_allocated(struct mailbox *box);

#endif
