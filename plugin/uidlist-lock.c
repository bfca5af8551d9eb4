#include "compat.h"
#include "module-context.h"
#include "mail-storage-private.h"
#include "maildir-storage.h"
#include "maildir-uidlist.h"
#include "uidlist-lock.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A commit holds the lock for a few milliseconds. In 20 ms several others can
   be done with theirs. */
#define LOCK_WAIT_NSECS (20 * 1000 * 1000)
#define LOCK_POLL_USECS 500
#define LOCK_MAX_TRIES (LOCK_WAIT_NSECS / 1000 / LOCK_POLL_USECS)
/* An older lock was left behind, or is held for long: not worth a wait. */
#define LOCK_YOUNG_NSECS (1000 * 1000 * 1000)

static MODULE_CONTEXT_DEFINE_INIT(uidlist_lock_storage_module,
				  &mail_storage_module_register);

static long long clock_nsecs(clockid_t clock)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* The file's time may be another host's, and the clock may have been set: a
   time that lies ahead says as little as one that is long past. */
static bool lock_file_is_young(const struct stat *st)
{
	long long age = clock_nsecs(CLOCK_REALTIME) -
		(st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec);

	return llabs(age) < LOCK_YOUNG_NSECS;
}

/* Returns 1 after taking the lock, 0 if somebody else has it, -1 if it cannot
   be taken. Never waits. The uidlist is not read: in a large mailbox that
   takes long, and a commit can do without. */
static int
uidlist_try_lock(struct mailbox *box, struct maildir_uidlist_sync_ctx **ctx_r)
{
	struct maildir_mailbox *mbox = MAILDIR_MAILBOX(box);
	int ret;

	/* Only Dovecot's own try may leave an error for the caller. */
	mail_storage_last_error_push(box->storage);
	ret = maildir_uidlist_sync_init(mbox->uidlist,
					MAILDIR_UIDLIST_SYNC_PARTIAL |
					MAILDIR_UIDLIST_SYNC_KEEP_STATE |
					MAILDIR_UIDLIST_SYNC_TRYLOCK |
					MAILDIR_UIDLIST_SYNC_NOREFRESH, ctx_r);
	mail_storage_last_error_pop(box->storage);
	return ret;
}

/* Returns NULL if the lock could not be taken soon. */
static struct maildir_uidlist_sync_ctx *
uidlist_lock_soon(struct mailbox *box)
{
	struct maildir_uidlist_sync_ctx *ctx = NULL;
	const char *dir, *path;
	struct stat st;
	unsigned int try;
	long long until;

	if (mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_CONTROL, &dir) <= 0)
		return NULL;
	path = t_strconcat(dir, "/"MAILDIR_UIDLIST_NAME".lock", NULL);
	until = clock_nsecs(CLOCK_MONOTONIC) + LOCK_WAIT_NSECS;
	for (try = 0; try < LOCK_MAX_TRIES; try++) {
		if (lstat(path, &st) == 0) {
			if (!lock_file_is_young(&st))
				return NULL;
		} else if (errno != ENOENT ||
			   uidlist_try_lock(box, &ctx) != 0)
			return ctx;
		if (clock_nsecs(CLOCK_MONOTONIC) >= until)
			break;
		usleep(LOCK_POLL_USECS);
	}
	return NULL;
}

/* In here Maildir tries for the lock once, and does without UIDs when it is
   taken. Asking it for UIDs (MAILBOX_TRANSACTION_FLAG_ASSIGN_UIDS) would make
   it wait for two minutes and then fail. Lock earlier, and others that hold
   the mailbox list's lock would wait for us while we wait for that one. */
static int
uidlist_lock_transaction_save_commit_pre(struct mail_save_context *save_ctx)
{
	struct mailbox_transaction_context *t = save_ctx->transaction;
	struct maildir_mailbox *mbox = MAILDIR_MAILBOX(t->box);
	union mailbox_module_context *module_ctx =
		MODULE_CONTEXT(t->box, uidlist_lock_storage_module);
	struct maildir_uidlist_sync_ctx *ctx = NULL;
	int ret;

	if ((t->flags & MAILBOX_TRANSACTION_FLAG_ASSIGN_UIDS) == 0 &&
	    !maildir_uidlist_is_locked(mbox->uidlist)) {
		T_BEGIN {
			ctx = uidlist_lock_soon(t->box);
		} T_END;
	}
	/* Frees save_ctx when it fails. It holds the lock itself for as long
	   as it needs it after this. */
	ret = module_ctx->super.transaction_save_commit_pre(save_ctx);
	/* FALSE: we have changed nothing that must be written */
	if (ctx != NULL)
		(void)maildir_uidlist_sync_deinit(&ctx, FALSE);
	return ret;
}

void uidlist_lock_mailbox_allocated(struct mailbox *box)
{
	struct mailbox_vfuncs *v = box->vlast;
	union mailbox_module_context *module_ctx;

	if (strcmp(box->storage->name, MAILDIR_STORAGE_NAME) != 0 ||
	    MODULE_CONTEXT(box, uidlist_lock_storage_module) != NULL)
		return;
	module_ctx = p_new(box->pool, union mailbox_module_context, 1);
	module_ctx->super = *v;
	box->vlast = &module_ctx->super;
	v->transaction_save_commit_pre =
		uidlist_lock_transaction_save_commit_pre;
	MODULE_CONTEXT_SET_SELF(box, uidlist_lock_storage_module, module_ctx);
}
