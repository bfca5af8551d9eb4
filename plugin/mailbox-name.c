#include "compat.h"
#include "mail-storage-private.h"
#include "mail-namespace.h"
#include "mail-user.h"
#include "openchange-settings.h"
#include "mailbox-name.h"
#include "record.h"
#include "user-store.h"

static bool openchange_ns_is_unlisted(const struct mail_namespace *ns)
{
	return (ns->flags & NAMESPACE_FLAG_HIDDEN) != 0 &&
		(ns->flags & (NAMESPACE_FLAG_LIST_PREFIX |
			      NAMESPACE_FLAG_LIST_CHILDREN)) == 0;
}

/* The namespace under which clients list the mailboxes of this one. An alias
   need not be named as one: then it has the other's folder. */
static struct mail_namespace *openchange_ns_primary(struct mail_namespace *ns)
{
	struct mail_namespace *other;
	const char *path, *other_path;

	while (ns->alias_for != NULL)
		ns = ns->alias_for;
	if (!openchange_ns_is_unlisted(ns) ||
	    !mailbox_list_get_root_path(ns->list,
					MAILBOX_LIST_PATH_TYPE_MAILBOX, &path))
		return ns;
	for (other = ns->user->namespaces; other != NULL; other = other->next) {
		if (other->owner == ns->owner &&
		    !openchange_ns_is_unlisted(other) &&
		    mailbox_list_get_root_path(other->list,
					       MAILBOX_LIST_PATH_TYPE_MAILBOX,
					       &other_path) &&
		    strcmp(path, other_path) == 0)
			return other;
	}
	return ns;
}

/* Hidden and listed nowhere, as the namespace of expunged messages is. INBOX
   is there for every client, and how another's mailboxes are reached says
   nothing of what their owner sees. */
static bool openchange_ns_is_unseen(struct mail_namespace *ns)
{
	if (!openchange_ns_is_unlisted(ns) ||
	    (ns->flags & NAMESPACE_FLAG_INBOX_USER) != 0 ||
	    (ns->owner != NULL && ns->owner != ns->user))
		return FALSE;
	return openchange_ns_is_unlisted(openchange_ns_primary(ns));
}

const struct openchange_config *openchange_box_config(struct mailbox *box)
{
	const struct openchange_config *config =
		openchange_user_config(box->storage->user);
	bool unseen;

	if (config == NULL || strcmp(box->storage->name, "virtual") == 0)
		return NULL;
	T_BEGIN {
		unseen = openchange_ns_is_unseen(mailbox_get_namespace(box));
	} T_END;
	return unseen ? NULL : config;
}

static const char *openchange_box_owner(struct mailbox *box)
{
	struct mail_namespace *ns = mailbox_get_namespace(box);

	/* Nobody owns a public namespace: the one who changed it is told. */
	return ns->owner != NULL ? ns->owner->username :
		box->storage->user->username;
}

bool openchange_box_same_owner(struct mailbox *box1, struct mailbox *box2)
{
	return strcmp(openchange_box_owner(box1),
		      openchange_box_owner(box2)) == 0;
}

/* In another user's namespace our name of his mailbox has that namespace's
   prefix and separator. He has the same namespaces as we, or nobody could say
   how he sees it, so take those of our INBOX. */
static const char *
openchange_box_owner_name(struct mailbox *box, struct mail_namespace *inbox_ns)
{
	struct mail_namespace *ns = mailbox_get_namespace(box);
	const char *name = mailbox_get_vname(box);
	char *owner_name, *p;
	char sep = mail_namespace_get_sep(ns);
	char inbox_sep = mail_namespace_get_sep(inbox_ns);

	if (strncmp(name, ns->prefix, ns->prefix_len) == 0)
		name += ns->prefix_len;
	else if (ns->prefix_len > 0 && strlen(name) == ns->prefix_len - 1 &&
		 strncmp(name, ns->prefix, ns->prefix_len - 1) == 0)
		name = "INBOX";
	if (strcmp(name, "INBOX") == 0)
		return name;
	owner_name = t_strdup_noconst(
		t_strconcat(inbox_ns->prefix, name, NULL));
	for (p = owner_name + inbox_ns->prefix_len; *p != '\0'; p++) {
		if (*p == sep)
			*p = inbox_sep;
	}
	return owner_name;
}

/* The name of an alias' mailbox in the namespace that clients list, or NULL for
   one that is not there: below the prefix INBOX. the name INBOX may be INBOX
   itself or, on Dovecot 2.3, another mailbox. */
static const char *
openchange_box_listed_name(struct mailbox *box, struct mail_namespace *primary)
{
	const char *name = mailbox_get_name(box), *path, *inbox_path;

	if (strcmp(name, "INBOX") == 0 &&
	    mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_MAILBOX,
				&path) > 0 &&
	    mailbox_list_get_path(primary->list, name,
				  MAILBOX_LIST_PATH_TYPE_MAILBOX,
				  &inbox_path) > 0 &&
	    strcmp(path, inbox_path) != 0)
		return NULL;
	/* The root of a namespace without prefix has no name. */
	name = mailbox_list_get_vname(primary->list, name);
	return *name == '\0' ? NULL : name;
}

void openchange_box_get_own(struct mailbox *box, struct openchange_box *box_r)
{
	struct mail_namespace *ns = mailbox_get_namespace(box);
	struct mail_namespace *primary = openchange_ns_primary(ns);
	const char *name;

	i_zero(box_r);
	box_r->owner = box->storage->user->username;
	box_r->name = mailbox_get_vname(box);
	if (primary != ns) {
		name = openchange_box_listed_name(box, primary);
		if (name != NULL) {
			box_r->name = name;
			ns = primary;
		}
	}
	box_r->sep = mail_namespace_get_sep(ns);
}

void openchange_box_get(struct mailbox *box, struct openchange_box *box_r)
{
	struct mail_namespace *inbox_ns;
	const char *owner = openchange_box_owner(box);

	openchange_box_get_own(box, box_r);
	if (strcmp(owner, box_r->owner) == 0)
		return;
	inbox_ns = openchange_ns_primary(
		mail_namespace_find_inbox(box->storage->user->namespaces));
	box_r->owner = owner;
	box_r->name = openchange_box_owner_name(box, inbox_ns);
	box_r->sep = mail_namespace_get_sep(inbox_ns);
}

uint32_t openchange_box_uidvalidity(struct mailbox *box)
{
	struct mailbox_status status;

	if (!box->opened)
		return 0;
	mailbox_get_open_status(box, STATUS_UIDVALIDITY, &status);
	return status.uidvalidity;
}

void openchange_record_init(struct record *rec,
			    const struct openchange_config *config,
			    struct mailbox *box,
			    const struct openchange_box *name)
{
	const char *accessor = box->storage->user->username;

	i_zero(rec);
	rec->user = name->owner;
	if (strcmp(name->owner, accessor) != 0)
		rec->by = accessor;
	/* An event of no mailbox is of no use: box is always on. */
	rec->mailbox = name->name;
	rec->sep = name->sep;
	if ((config->fields & FIELD_UID) != 0)
		rec->uidvalidity = name->uidvalidity;
}
