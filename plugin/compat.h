#ifndef OPENCHANGE_COMPAT_H
#define OPENCHANGE_COMPAT_H

/* Everything that differs between Dovecot 2.3 and 2.4, but for the reading of
   settings, which is openchange-settings.c. To be included first. */

#include "config.h"
#include "lib.h"

#if DOVECOT_PREREQ(2, 4, 0)
#  include "json-generator.h"
#  define openchange_notify_unregister(ctx) notify_unregister(&(ctx))
#else
#  include "json-parser.h"
#  define openchange_notify_unregister(ctx) notify_unregister(ctx)
#endif

#endif
