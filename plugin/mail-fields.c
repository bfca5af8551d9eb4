#include "compat.h"
#include "str.h"
#include "mail-storage-private.h"
#include "openchange-settings.h"
#include "flag-changes.h"
#include "mail-fields.h"
#include "record.h"

/* Bytes of from, subject and snippet. What a header line may have (RFC 5322);
   Dovecot's snippet has at most 200 characters, 800 bytes. */
#define TEXT_MAX_SIZE 998
/* A longer one is left out: a part of it would be another message's. All of a
   transaction are kept until it is committed. */
#define MESSAGE_ID_MAX_SIZE (8 * 1024)

static const char *mail_fields_text(pool_t pool, const char *text)
{
	size_t len = strlen(text);

	if (len > TEXT_MAX_SIZE) {
		len = TEXT_MAX_SIZE;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	return p_strndup(pool, text, len);
}

/* Returns NULL for a message without text, and if it cannot be read. */
static const char *mail_fields_snippet(pool_t pool, struct mail *mail)
{
	struct mail_storage *storage = mail->box->storage;
	const char *value;
	int ret;

	/* The error of this read must not become the error of the save. */
	mail_storage_last_error_push(storage);
	ret = mail_get_special(mail, MAIL_FETCH_BODY_SNIPPET, &value);
	mail_storage_last_error_pop(storage);
	/* The first character is the version of the algorithm. */
	if (ret < 0 || value[0] == '\0' || value[1] == '\0')
		return NULL;
	return mail_fields_text(pool, value + 1);
}

void mail_fields_read(const struct openchange_config *config, pool_t pool,
		      struct mail *mail, struct mail_fields *fields_r)
{
	enum openchange_field fields = config->fields;
	const char *value;

	i_zero(fields_r);
	if ((fields & FIELD_SIZE) != 0) {
		fields_r->have_size =
			mail_get_physical_size(mail, &fields_r->size) == 0;
	}
	if ((fields & FIELD_MSGID) != 0 &&
	    mail_get_first_header(mail, "Message-ID", &value) > 0 &&
	    strlen(value) <= MESSAGE_ID_MAX_SIZE)
		fields_r->message_id = p_strdup(pool, value);
	if ((fields & FIELD_FROM) != 0 &&
	    mail_get_first_header_utf8(mail, "From", &value) > 0)
		fields_r->from = mail_fields_text(pool, value);
	if ((fields & FIELD_SUBJECT) != 0 &&
	    mail_get_first_header_utf8(mail, "Subject", &value) > 0)
		fields_r->subject = mail_fields_text(pool, value);
	if ((fields & FIELD_SNIPPET) != 0)
		fields_r->snippet = mail_fields_snippet(pool, mail);
	if ((fields & FIELD_FLAGS) != 0) {
		string_t *str = t_str_new(64);

		flags_append(str, mail_get_flags(mail),
			t_strarray_join(mail_get_keywords(mail), " "));
		fields_r->flags = p_strdup(pool, str_c(str));
	}
}

void mail_fields_set(const struct mail_fields *fields, struct record *rec)
{
	rec->have_size = fields->have_size;
	rec->size = fields->size;
	rec->message_id = fields->message_id;
	rec->from = fields->from;
	rec->subject = fields->subject;
	rec->snippet = fields->snippet;
	rec->flags = fields->flags;
}
