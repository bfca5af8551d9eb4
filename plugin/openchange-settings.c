#include "compat.h"
#include "str.h"
#include "mail-user.h"
#if DOVECOT_AT_LEAST(2, 4)
#  include "settings.h"
#  include "settings-parser.h"
#endif
#include "record.h"
#include "openchange-settings.h"

#define DEFAULT_JOURNAL "/var/spool/ocnotify/journal"
#define DEFAULT_FIELDS (FIELD_UID | FIELD_BOX | FIELD_MSGID | FIELD_SIZE)
/* It stands in every record, which has 64 KiB. */
#define VALUE_MAX_SIZE 8192

struct word {
	const char *name;
	unsigned int bit;
};

static const struct word event_words[] = {
	{ "save", EVENT_SAVE },
	{ "copy", EVENT_COPY },
	{ "delete", EVENT_DELETE },
	{ "undelete", EVENT_UNDELETE },
	{ "expunge", EVENT_EXPUNGE },
	{ "flag_change", EVENT_FLAG_CHANGE },
	{ "mailbox_create", EVENT_MAILBOX_CREATE },
	{ "mailbox_delete", EVENT_MAILBOX_DELETE },
	{ "mailbox_rename", EVENT_MAILBOX_RENAME },
	{ "mailbox_subscribe", EVENT_MAILBOX_SUBSCRIBE },
	{ "mailbox_unsubscribe", EVENT_MAILBOX_UNSUBSCRIBE },
	{ NULL, 0 }
};

static const struct word field_words[] = {
	{ "uid", FIELD_UID },
	{ "box", FIELD_BOX },
	{ "msgid", FIELD_MSGID },
	{ "size", FIELD_SIZE },
	{ "from", FIELD_FROM },
	{ "subject", FIELD_SUBJECT },
	{ "flags", FIELD_FLAGS },
	{ "snippet", FIELD_SNIPPET },
	{ NULL, 0 }
};

/* A setting under the name that the operator has written. */
struct setting {
	const char *name, *value;
};

enum setting_id {
	SETTING_RESOLVER	= 0x01,
	SETTING_CN		= 0x02,
	SETTING_BACKEND		= 0x04,
	SETTING_JOURNAL		= 0x08,
	SETTING_EVENTS		= 0x10,
	SETTING_FIELDS		= 0x20,
	SETTING_ALL		= 0x40
};

/* Settings of this process that are in the log already. */
static unsigned int settings_logged = 0;

#if DOVECOT_AT_LEAST(2, 4)

static bool
openchange_settings_read(struct mail_user *user,
			 struct openchange_settings *set_r)
{
	const struct openchange_settings *set;
	const char *error;

	/* Not user->error: that would keep the user from his mail. */
	if (settings_get(user->event, &openchange_setting_parser_info, 0,
			 &set, &error) < 0) {
		if ((settings_logged & SETTING_ALL) == 0) {
			e_error(user->event, "ocnotify: %s. Install "
				"lib20_openchange_settings.so in the settings "
				"folder beside the plugin. Mailbox changes "
				"are not notified until this is repaired",
				error);
		}
		settings_logged |= SETTING_ALL;
		return FALSE;
	}
	i_zero(set_r);
	set_r->openchange_resolver = t_strdup(set->openchange_resolver);
	set_r->openchange_cn = t_strdup(set->openchange_cn);
	set_r->openchange_backend = t_strdup(set->openchange_backend);
	set_r->openchange_journal = t_strdup(set->openchange_journal);
	set_r->openchange_events = t_strdup(set->openchange_events);
	set_r->openchange_fields = t_strdup(set->openchange_fields);
	set_r->ocnotify_journal = t_strdup(set->ocnotify_journal);
	set_r->ocnotify_events = t_strdup(set->ocnotify_events);
	set_r->ocnotify_fields = t_strdup(set->ocnotify_fields);
	settings_free(set);
	return TRUE;
}

#else

static const char *setting_get(struct mail_user *user, const char *name)
{
	const char *value = mail_user_plugin_getenv(user, name);

	return value == NULL ? "" : value;
}

static bool
openchange_settings_read(struct mail_user *user,
			 struct openchange_settings *set_r)
{
	i_zero(set_r);
	set_r->openchange_resolver = setting_get(user, "openchange_resolver");
	set_r->openchange_cn = setting_get(user, "openchange_cn");
	set_r->openchange_backend = setting_get(user, "openchange_backend");
	set_r->openchange_journal = setting_get(user, "openchange_journal");
	set_r->openchange_events = setting_get(user, "openchange_events");
	set_r->openchange_fields = setting_get(user, "openchange_fields");
	set_r->ocnotify_journal = setting_get(user, "ocnotify_journal");
	set_r->ocnotify_events = setting_get(user, "ocnotify_events");
	set_r->ocnotify_fields = setting_get(user, "ocnotify_fields");
	return TRUE;
}

#endif

static bool userdb_has(struct mail_user *user, const char *name)
{
	const char *const *field = user->userdb_fields;
	size_t len = strlen(name);

	for (; field != NULL && *field != NULL; field++) {
		if (strncmp(*field, name, len) == 0 && (*field)[len] == '=')
			return TRUE;
	}
	return FALSE;
}

/* ocnotify_* goes before openchange_*, unless the userdb has openchange_* for
   this user and not ocnotify_*: what holds for one user goes before what holds
   for all. */
static struct setting
setting_choose(struct mail_user *user,
	       const char *ocnotify_name, const char *ocnotify_value,
	       const char *openchange_name, const char *openchange_value)
{
	struct setting ocnotify = { ocnotify_name, ocnotify_value };
	struct setting openchange = { openchange_name, openchange_value };

	if (*openchange_value == '\0')
		return ocnotify;
	if (*ocnotify_value == '\0')
		return openchange;
	return userdb_has(user, openchange_name) &&
		!userdb_has(user, ocnotify_name) ? openchange : ocnotify;
}

#define SETTING_CHOOSE(user, set, name) \
	setting_choose(user, "ocnotify_"#name, (set)->ocnotify_##name, \
		       "openchange_"#name, (set)->openchange_##name)

static bool
setting_invalid(struct mail_user *user, enum setting_id id, const char *name,
		const char *value, const char *allowed)
{
	if ((settings_logged & id) == 0) {
		e_error(openchange_user_event(user),
			"ocnotify: Invalid %s = \"%s\": %s. "
			"Mailbox changes are not notified until this is "
			"repaired; mail is not affected "
			"(logged once per process)", name, value, allowed);
	}
	settings_logged |= id;
	return FALSE;
}

/* For values that go into each record as they are. */
static bool
setting_check_text(struct mail_user *user, enum setting_id id,
		   const char *name, const char *value)
{
	const char *p;

	if (strlen(value) > VALUE_MAX_SIZE) {
		return setting_invalid(user, id, name, "(long)",
				       "must be at most 8192 bytes");
	}
	/* No resolver and no server has one in its name, and readers of the
	   journal refuse it. */
	for (p = value; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			return setting_invalid(user, id, name, "(control)",
				"must not have control characters");
		}
	}
	return TRUE;
}

static const char *words_join(const struct word *words)
{
	string_t *str = t_str_new(128);

	for (; words->name != NULL; words++) {
		if (str_len(str) > 0)
			str_append_c(str, ' ');
		str_append(str, words->name);
	}
	return str_c(str);
}

static bool
words_parse(struct mail_user *user, enum setting_id id,
	    const struct setting *set, const struct word *words,
	    unsigned int *bits_r)
{
	const char *const *list;
	unsigned int i;

	*bits_r = 0;
	list = t_strsplit_spaces(set->value, " ,\t");
	for (; *list != NULL; list++) {
		for (i = 0; words[i].name != NULL; i++) {
			if (strcmp(words[i].name, *list) == 0)
				break;
		}
		if (words[i].name == NULL) {
			return setting_invalid(user, id, set->name, set->value,
				t_strdup_printf("\"%s\" is none of: %s",
						*list, words_join(words)));
		}
		*bits_r |= words[i].bit;
	}
	return TRUE;
}

static bool
openchange_settings_check(struct mail_user *user,
			  const struct openchange_settings *set,
			  struct openchange_config *config)
{
	struct setting chosen;
	unsigned int bits;

	if (!setting_check_text(user, SETTING_RESOLVER, "openchange_resolver",
				set->openchange_resolver) ||
	    !setting_check_text(user, SETTING_BACKEND, "openchange_backend",
				set->openchange_backend))
		return FALSE;
	if (*set->openchange_cn != '\0' &&
	    strcmp(set->openchange_cn, "username") != 0 &&
	    strcmp(set->openchange_cn, "email") != 0) {
		return setting_invalid(user, SETTING_CN, "openchange_cn",
			set->openchange_cn, "must be username or email");
	}

	chosen = SETTING_CHOOSE(user, set, journal);
	if (*chosen.value != '\0' && *chosen.value != '/') {
		return setting_invalid(user, SETTING_JOURNAL, chosen.name,
			chosen.value,
			"must be the absolute path of a directory");
	}
	config->journal = *chosen.value == '\0' ? DEFAULT_JOURNAL :
		p_strdup(user->pool, chosen.value);
	config->journal_setting = chosen.name;

	chosen = SETTING_CHOOSE(user, set, events);
	if (!words_parse(user, SETTING_EVENTS, &chosen, event_words, &bits))
		return FALSE;
	config->events = bits != 0 ? bits : UINT_MAX;

	chosen = SETTING_CHOOSE(user, set, fields);
	if (!words_parse(user, SETTING_FIELDS, &chosen, field_words, &bits))
		return FALSE;
	config->fields = bits != 0 ? bits : DEFAULT_FIELDS;
	return TRUE;
}

static const char *set_or_null(const char *value)
{
	return *value == '\0' ? NULL : value;
}

const struct openchange_config *openchange_config_read(struct mail_user *user)
{
	struct openchange_settings set;
	struct openchange_config *config;
	bool valid;

	config = p_new(user->pool, struct openchange_config, 1);
	T_BEGIN {
		valid = openchange_settings_read(user, &set) &&
			openchange_settings_check(user, &set, config);
		if (valid) {
			config->tail = p_strdup(user->pool,
				record_tail(user->service, user->session_id,
					set_or_null(set.openchange_cn),
					set_or_null(set.openchange_backend),
					set_or_null(set.openchange_resolver)));
		}
	} T_END;
	return valid ? config : NULL;
}
