/* Dovecot 2.4 only: what the settings are. Part of the plugin, which reads
   them, and of the settings module, through which Dovecot's configuration
   learns of them without loading the plugin. */

#include "compat.h"
#include "settings.h"
#include "settings-parser.h"
#include "openchange-settings.h"

#define DEF(name) \
	SETTING_DEFINE_STRUCT_STR(#name, name, struct openchange_settings)

static const struct setting_define openchange_setting_defines[] = {
	DEF(openchange_resolver),
	DEF(openchange_cn),
	DEF(openchange_backend),
	DEF(openchange_journal),
	DEF(openchange_events),
	DEF(openchange_fields),
	DEF(ocnotify_journal),
	DEF(ocnotify_events),
	DEF(ocnotify_fields),
	SETTING_DEFINE_LIST_END
};

/* Empty, so that a record tells only what the operator has set. */
static const struct openchange_settings openchange_default_settings = {
	.openchange_resolver = "",
	.openchange_cn = "",
	.openchange_backend = "",
	.openchange_journal = "",
	.openchange_events = "",
	.openchange_fields = "",
	.ocnotify_journal = "",
	.ocnotify_events = "",
	.ocnotify_fields = "",
};

const struct setting_parser_info openchange_setting_parser_info = {
	.name = "openchange",

	.defines = openchange_setting_defines,
	.defaults = &openchange_default_settings,

	.struct_size = sizeof(struct openchange_settings),
	.pool_offset1 = 1 + offsetof(struct openchange_settings, pool),
};

#ifdef OPENCHANGE_SETTINGS_MODULE
/* Dovecot finds these by the file name without lib20_ and .so. */
extern const char *openchange_settings_version;
extern const struct setting_parser_info *openchange_settings_set_infos[];

const char *openchange_settings_version = DOVECOT_ABI_VERSION;

const struct setting_parser_info *openchange_settings_set_infos[] = {
	&openchange_setting_parser_info,
	NULL
};
#endif
