#ifndef OPENCHANGE_USER_STORE_H
#define OPENCHANGE_USER_STORE_H

struct mail_user;
struct mail_namespace;
struct openchange_config;

/* Storage hooks. */
void openchange_mail_user_created(struct mail_user *user);
void openchange_mail_namespaces_created(struct mail_namespace *namespaces);

/* The settings of a user whose changes are recorded. NULL for one without this
   plugin, and for a second store of a user. */
const struct openchange_config *openchange_user_config(struct mail_user *user);

#endif
