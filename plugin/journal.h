#ifndef OPENCHANGE_JOURNAL_H
#define OPENCHANGE_JOURNAL_H

struct event;

/* Append whole lines to the journal's segment of now and of this euid, with
   one write(). Never waits and never fails its caller: what goes wrong is
   logged to the event, once per process and cause, under the name of the
   setting that says where the journal is. */
void journal_append(struct event *event, const char *setting, const char *dir,
		    const void *data, size_t size);

#endif
