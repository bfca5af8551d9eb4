#ifndef OPENCHANGE_MAIL_FIELDS_H
#define OPENCHANGE_MAIL_FIELDS_H

struct mail;
struct record;
struct openchange_config;

/* What is recorded of a new message, NULL or FALSE where it is not. */
struct mail_fields {
	bool have_size;
	uoff_t size;
	const char *message_id;
	const char *from;
	const char *subject;
	const char *snippet;
	/* Separated by spaces. */
	const char *flags;
};

/* Read from a message that is being saved what the settings ask for. Nothing
   here fails: a field that cannot be read is left out. */
void mail_fields_read(const struct openchange_config *config, pool_t pool,
		      struct mail *mail, struct mail_fields *fields_r);
/* Put them into a record. */
void mail_fields_set(const struct mail_fields *fields, struct record *rec);

#endif
