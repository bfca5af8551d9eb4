#include "compat.h"
#include "mail-storage-private.h"
#include "mail-namespace.h"
#include "mail-user.h"
#include "mailbox-list-iter.h"
#include "openchange-settings.h"
#include "mailbox-events.h"
#include "mailbox-name.h"
#include "record.h"

static void
openchange_mailbox_event(struct mailbox *box, struct mailbox *old_box,
			 enum openchange_event event, const char *name)
{
	const struct openchange_config *config = openchange_box_config(box);
	struct record_batch batch;
	struct openchange_box names;
	struct record rec;

	if (config == NULL || (config->events & event) == 0)
		return;
	T_BEGIN {
		/* Subscribing to another's mailbox changes nothing for him. */
		if (event == EVENT_MAILBOX_SUBSCRIBE ||
		    event == EVENT_MAILBOX_UNSUBSCRIBE)
			openchange_box_get_own(box, &names);
		else
			openchange_box_get(box, &names);
		openchange_record_init(&rec, config, box, &names);
		rec.event = name;
		if (old_box != NULL) {
			openchange_box_get(old_box, &names);
			rec.old_mailbox = names.name;
			rec.old_sep = names.sep;
		}
		record_batch_init(&batch,
				  openchange_user_event(box->storage->user),
				  config);
		record_add(&batch, &rec);
		record_batch_deinit(&batch);
	} T_END;
}

void openchange_mailbox_create(struct mailbox *box)
{
	openchange_mailbox_event(box, NULL, EVENT_MAILBOX_CREATE,
				 "MailboxCreate");
}

void openchange_mailbox_delete_commit(void *txn ATTR_UNUSED,
				      struct mailbox *box)
{
	openchange_mailbox_event(box, NULL, EVENT_MAILBOX_DELETE,
				 "MailboxDelete");
}

/* The children of a renamed mailbox come with it, and no callback comes for
   them. box is its old or its new self, whichever clients see; the children are
   at dest already. */
static void
openchange_mailbox_tree_event(struct mailbox *box, struct mailbox *dest,
			      enum openchange_event event, const char *name)
{
	const struct openchange_config *config = openchange_box_config(box);
	char dest_sep = mail_namespace_get_sep(mailbox_get_namespace(dest));
	const struct mailbox_info *info;
	struct mailbox_list_iterate_context *iter;
	struct record_batch batch;
	struct openchange_box names;
	struct record rec;
	const char *prefix;
	char *child, *p;

	if ((config->events & event) == 0)
		return;
	T_BEGIN {
		openchange_box_get(box, &names);
		openchange_record_init(&rec, config, box, &names);
		rec.event = name;
		record_batch_init(&batch,
				  openchange_user_event(box->storage->user),
				  config);
		record_add(&batch, &rec);

		prefix = t_strdup_printf("%s%c", mailbox_get_vname(dest),
					 dest_sep);
		iter = mailbox_list_iter_init(dest->list,
					      t_strconcat(prefix, "*", NULL),
					      MAILBOX_LIST_ITER_RAW_LIST |
					      MAILBOX_LIST_ITER_NO_AUTO_BOXES);
		while ((info = mailbox_list_iter_next(iter)) != NULL) T_BEGIN {
			if (strncmp(info->vname, prefix, strlen(prefix)) == 0 &&
			    (info->flags & (MAILBOX_NOSELECT |
					    MAILBOX_NONEXISTENT)) == 0) {
				child = t_strdup_noconst(
					info->vname + strlen(prefix));
				for (p = child; *p != '\0'; p++) {
					if (*p == dest_sep)
						*p = names.sep;
				}
				rec.mailbox = t_strdup_printf("%s%c%s",
					names.name, names.sep, child);
				record_add(&batch, &rec);
			}
		} T_END;
		(void)mailbox_list_iter_deinit(&iter);
		record_batch_deinit(&batch);
	} T_END;
}

void openchange_mailbox_rename(struct mailbox *src, struct mailbox *dest)
{
	bool src_seen = openchange_box_config(src) != NULL;
	bool dest_seen = openchange_box_config(dest) != NULL;

	if (src_seen && dest_seen) {
		openchange_mailbox_event(dest, src, EVENT_MAILBOX_RENAME,
					 "MailboxRename");
	} else if (src_seen) {
		openchange_mailbox_tree_event(src, dest, EVENT_MAILBOX_DELETE,
					      "MailboxDelete");
	} else if (dest_seen) {
		openchange_mailbox_tree_event(dest, dest, EVENT_MAILBOX_CREATE,
					      "MailboxCreate");
	}
}

void openchange_mailbox_set_subscribed(struct mailbox *box, bool subscribed)
{
	if (subscribed) {
		openchange_mailbox_event(box, NULL, EVENT_MAILBOX_SUBSCRIBE,
					 "MailboxSubscribe");
	} else {
		openchange_mailbox_event(box, NULL, EVENT_MAILBOX_UNSUBSCRIBE,
					 "MailboxUnSubscribe");
	}
}
