#ifndef OPENCHANGE_COMPAT_H
#define OPENCHANGE_COMPAT_H

/* Everything that differs between Dovecot 2.2.28 to 2.2.36, 2.3 and 2.4, but
   for the reading of settings, which is openchange-settings.c. To be included
   first. */

#include "config.h"
#include "lib.h"

/* DOVECOT_PREREQ() takes two arguments in 2.2 and three later. */
#define DOVECOT_AT_LEAST(major, minor) \
	(DOVECOT_VERSION_MAJOR > (major) || \
	 (DOVECOT_VERSION_MAJOR == (major) && \
	  DOVECOT_VERSION_MINOR >= (minor)))

#if DOVECOT_AT_LEAST(2, 4)
#  include "json-generator.h"
#  define openchange_notify_unregister(ctx) notify_unregister(&(ctx))
#else
#  include "json-parser.h"
#  define openchange_notify_unregister(ctx) notify_unregister(ctx)
#endif

#if DOVECOT_AT_LEAST(2, 3)
#  define openchange_user_event(user) ((user)->event)
#else
#  include "time-util.h"

/* There are no events: the log knows the user by itself. */
struct event;
#  define openchange_user_event(user) ((void)(user), (struct event *)NULL)
#  define e_error(event, ...) ((void)(event), i_error(__VA_ARGS__))
#  define e_warning(event, ...) ((void)(event), i_warning(__VA_ARGS__))

#  define array_push_back(array, item) array_append(array, item, 1)
#  define MAILDIR_MAILBOX(box) ((struct maildir_mailbox *)(box))

static inline uint64_t i_microseconds(void)
{
	struct timeval tv = { 0, 0 };

	(void)gettimeofday(&tv, NULL);
	return (uint64_t)tv.tv_sec * 1000000 + tv.tv_usec;
}
#endif

#endif
