#ifndef OPENCHANGE_JOURNAL_REMEDY_H
#define OPENCHANGE_JOURNAL_REMEDY_H

/* What to do about a journal directory that this process does not find, may
   not write to or sees read-only. A process may be confined: then the
   directory can be in order, and only this process cannot reach it. The text
   is allocated from the data stack. */
const char *journal_remedy_missing(const char *dir);
const char *journal_remedy_access(const char *dir);
const char *journal_remedy_read_only(const char *dir);

#endif
