#include "compat.h"
#include "llist.h"
#include "module-context.h"
#include "mail-namespace.h"
#include "mail-user.h"
#include "mailbox-list.h"
#include "openchange-settings.h"
#include "user-store.h"

#define OPENCHANGE_USER_CONTEXT(obj) \
	MODULE_CONTEXT(obj, openchange_user_module)

struct openchange_user {
	union mail_user_module_context module_ctx;
	struct openchange_user *prev, *next;

	const struct openchange_config *config;
	const char *username;
	/* Folder of INBOX's namespace, "" for one without; NULL until the
	   namespaces are created. */
	const char *root;
	/* A second store of a user: not the mailbox that he sees. */
	bool foreign;
};

static MODULE_CONTEXT_DEFINE_INIT(openchange_user_module,
				  &mail_user_module_register);
/* Those who live, the newest first. */
static struct openchange_user *openchange_users = NULL;

static void openchange_user_deinit(struct mail_user *user)
{
	struct openchange_user *ouser = OPENCHANGE_USER_CONTEXT(user);

	DLLIST_REMOVE(&openchange_users, ouser);
	ouser->module_ctx.super.deinit(user);
}

void openchange_mail_user_created(struct mail_user *user)
{
	struct mail_user_vfuncs *v = user->vlast;
	struct openchange_user *ouser;
	const struct openchange_config *config;

	/* The user of a delivery's own message, or of a shared namespace.
	   And, as LMTP comes here as root: open no file here. */
	if (user->autocreated || OPENCHANGE_USER_CONTEXT(user) != NULL)
		return;
	config = openchange_config_read(user);
	if (config == NULL)
		return;
	ouser = p_new(user->pool, struct openchange_user, 1);
	ouser->config = config;
	ouser->username = user->username;
	ouser->module_ctx.super = *v;
	user->vlast = &ouser->module_ctx.super;
	v->deinit = openchange_user_deinit;
	DLLIST_PREPEND(&openchange_users, ouser);
	MODULE_CONTEXT_SET(user, openchange_user_module, ouser);
}

/* dsync and import have two users of one name: the first is the user himself,
   the second has the store that is copied to or from. A user may also be there
   twice, as recipient or with two sessions: then the store is the same. */
void openchange_mail_namespaces_created(struct mail_namespace *namespaces)
{
	struct openchange_user *ouser, *older;
	struct mail_namespace *inbox_ns;
	const char *root;

	if (namespaces == NULL)
		return;
	ouser = OPENCHANGE_USER_CONTEXT(namespaces->user);
	if (ouser == NULL)
		return;

	inbox_ns = mail_namespace_find_inbox(namespaces);
	/* A store that is not in the file system has no folder. */
	if (!mailbox_list_get_root_path(inbox_ns->list,
					MAILBOX_LIST_PATH_TYPE_MAILBOX, &root))
		root = "";
	ouser->root = p_strdup(namespaces->user->pool, root);
	for (older = ouser->next; older != NULL; older = older->next) {
		if (!older->foreign && older->root != NULL &&
		    strcmp(older->username, ouser->username) == 0 &&
		    strcmp(older->root, ouser->root) != 0)
			ouser->foreign = TRUE;
	}
}

const struct openchange_config *openchange_user_config(struct mail_user *user)
{
	struct openchange_user *ouser = OPENCHANGE_USER_CONTEXT(user);

	return ouser == NULL || ouser->foreign ? NULL : ouser->config;
}
