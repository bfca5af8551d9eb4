#include "compat.h"
#include "mail-storage-private.h"
#include "notify-plugin.h"
#include "openchange-settings.h"
#include "mail-changes.h"
#include "mailbox-events.h"
#include "mailbox-name.h"
#include "uidlist-lock.h"
#include "user-store.h"

/* The plugin has two names. lib20_ocnotify_plugin.so is a symbolic link to
   lib20_openchange_plugin.so, so that a process that loads both has this code
   and its variables once. */
const char *openchange_plugin_version = DOVECOT_ABI_VERSION;
const char *openchange_plugin_dependencies[] = { "notify", NULL };
const char *ocnotify_plugin_version = DOVECOT_ABI_VERSION;
const char *ocnotify_plugin_dependencies[] = { "notify", NULL };

/* The names by which this process has loaded the plugin, 0 to 2. */
static unsigned int openchange_names = 0;
static struct notify_context *openchange_ctx;

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

/* Dovecot calls the hooks of a name for those users whose mail_plugins have it.
   For one whose mail_plugins have both they are called twice, and the second
   call does nothing. */
#define OPENCHANGE_HOOKS { \
	.mail_user_created = openchange_mail_user_created, \
	.mail_namespaces_created = openchange_mail_namespaces_created, \
	.mailbox_allocated = openchange_mailbox_allocated \
}
static struct mail_storage_hooks openchange_hooks = OPENCHANGE_HOOKS;
static struct mail_storage_hooks ocnotify_hooks = OPENCHANGE_HOOKS;

void openchange_plugin_init(struct module *module);
void openchange_plugin_deinit(void);
void ocnotify_plugin_init(struct module *module);
void ocnotify_plugin_deinit(void);

static void
openchange_name_init(struct module *module, struct mail_storage_hooks *hooks)
{
	/* Every registration is called for each change. */
	if (openchange_names++ == 0)
		openchange_ctx = notify_register(&openchange_vfuncs);
	mail_storage_hooks_add(module, hooks);
}

static void openchange_name_deinit(struct mail_storage_hooks *hooks)
{
	mail_storage_hooks_remove(hooks);
	if (--openchange_names == 0)
		openchange_notify_unregister(openchange_ctx);
}

void openchange_plugin_init(struct module *module)
{
	openchange_name_init(module, &openchange_hooks);
}

void openchange_plugin_deinit(void)
{
	openchange_name_deinit(&openchange_hooks);
}

void ocnotify_plugin_init(struct module *module)
{
	openchange_name_init(module, &ocnotify_hooks);
}

void ocnotify_plugin_deinit(void)
{
	openchange_name_deinit(&ocnotify_hooks);
}
