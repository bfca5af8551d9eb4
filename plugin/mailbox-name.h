#ifndef OPENCHANGE_MAILBOX_NAME_H
#define OPENCHANGE_MAILBOX_NAME_H

struct mailbox;
struct record;
struct openchange_config;

/* A mailbox as its owner sees it. */
struct openchange_box {
	const char *owner;
	const char *name;
	char sep;
	uint32_t uidvalidity;
};

/* The settings that a mailbox is recorded by. NULL for one that is not: of a
   user without this plugin or of his second store, of a delivery's own message,
   a virtual mailbox beside the one that has the message, and what clients can
   only see who know its hidden prefix. */
const struct openchange_config *openchange_box_config(struct mailbox *box);

/* Whether both have one owner, who sees a copy from one to the other. */
bool openchange_box_same_owner(struct mailbox *box1, struct mailbox *box2);

/* As the owner sees it. Names are of the data stack or of the mailbox. */
void openchange_box_get(struct mailbox *box, struct openchange_box *box_r);
/* As the one sees it who is logged in. */
void openchange_box_get_own(struct mailbox *box, struct openchange_box *box_r);
/* 0 for a mailbox that is not open. */
uint32_t openchange_box_uidvalidity(struct mailbox *box);

/* What all records of a mailbox have. */
void openchange_record_init(struct record *rec,
			    const struct openchange_config *config,
			    struct mailbox *box,
			    const struct openchange_box *name);

#endif
