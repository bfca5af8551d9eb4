#ifndef OPENCHANGE_MAIL_RECORDS_H
#define OPENCHANGE_MAIL_RECORDS_H

struct openchange_txn;
struct mail_transaction_commit_changes;

/* Write the records of a transaction that is committed. */
void mail_records_write(struct openchange_txn *txn,
			struct mail_transaction_commit_changes *changes);

#endif
