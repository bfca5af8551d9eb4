#ifndef OPENCHANGE_SETTINGS_H
#define OPENCHANGE_SETTINGS_H

struct mail_user;

/* As the operator wrote them; "" is not set. All are strings, also where only
   few values are right: Dovecot 2.4 fails the login of a user whose userdb
   gives a wrong value to a stricter type. */
struct openchange_settings {
	pool_t pool;
	const char *openchange_resolver;
	const char *openchange_cn;
	const char *openchange_backend;
	const char *openchange_journal;
	const char *openchange_events;
	const char *openchange_fields;
	const char *ocnotify_journal;
	const char *ocnotify_events;
	const char *ocnotify_fields;
};

/* In the words of the mail_log plugin, and the two that it has not. */
enum openchange_event {
	EVENT_SAVE			= 0x001,
	EVENT_COPY			= 0x002,
	EVENT_DELETE			= 0x004,
	EVENT_UNDELETE			= 0x008,
	EVENT_EXPUNGE			= 0x010,
	EVENT_FLAG_CHANGE		= 0x020,
	EVENT_MAILBOX_CREATE		= 0x040,
	EVENT_MAILBOX_DELETE		= 0x080,
	EVENT_MAILBOX_RENAME		= 0x100,
	EVENT_MAILBOX_SUBSCRIBE		= 0x200,
	EVENT_MAILBOX_UNSUBSCRIBE	= 0x400
};

enum openchange_field {
	FIELD_UID	= 0x01,
	FIELD_BOX	= 0x02,
	FIELD_MSGID	= 0x04,
	FIELD_SIZE	= 0x08,
	FIELD_FROM	= 0x10,
	FIELD_SUBJECT	= 0x20,
	FIELD_FLAGS	= 0x40,
	FIELD_SNIPPET	= 0x80
};

/* What the settings mean for one user. */
struct openchange_config {
	const char *journal;
	/* The setting that says so: for log lines. */
	const char *journal_setting;
	enum openchange_event events;
	enum openchange_field fields;
	const char *tail;
};

/* Returns NULL after logging what is wrong, once per process and setting. */
const struct openchange_config *openchange_config_read(struct mail_user *user);

#if DOVECOT_AT_LEAST(2, 4)
extern const struct setting_parser_info openchange_setting_parser_info;
#endif

#endif
