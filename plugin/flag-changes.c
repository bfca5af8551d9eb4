#include "compat.h"
#include "array.h"
#include "sort.h"
#include "str.h"
#include "record.h"
#include "flag-changes.h"

/* A client that gives every message flags of its own makes many groups, and
   the search for the right one must not become the square of that. Messages
   that an older group would have taken are in a further record. */
#define GROUPS_SEARCHED 32
/* Keywords have no limit, a record has. */
#define FLAGS_MAX_SIZE (16 * 1024)

/* What happened to a message, one way. */
struct flag_change {
	enum mail_flags flags;
	/* separated by spaces */
	string_t *keywords;
};

struct flag_group {
	bool set;
	enum mail_flags flags;
	const char *keywords;
	ARRAY_TYPE(seq_range) uids;
};

struct flag_changes {
	pool_t pool;
	ARRAY(struct flag_group *) groups;

	/* A STORE of flags and keywords comes in two callbacks: the message
	   that may have another one coming. */
	uint32_t uid;
	bool have_keywords;
	struct flag_change set, cleared;
};

static const struct {
	enum mail_flags flag;
	const char *name;
} flag_names[] = {
	{ MAIL_ANSWERED, "\\Answered" },
	{ MAIL_FLAGGED, "\\Flagged" },
	{ MAIL_DELETED, "\\Deleted" },
	{ MAIL_SEEN, "\\Seen" },
	{ MAIL_DRAFT, "\\Draft" },
};

struct flag_changes *flag_changes_init(pool_t pool)
{
	struct flag_changes *changes = p_new(pool, struct flag_changes, 1);

	changes->pool = pool;
	p_array_init(&changes->groups, pool, 4);
	changes->set.keywords = str_new(pool, 64);
	changes->cleared.keywords = str_new(pool, 64);
	return changes;
}

void flags_append(string_t *dest, enum mail_flags flags, const char *keywords)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(flag_names); i++) {
		if ((flags & flag_names[i].flag) == 0)
			continue;
		if (str_len(dest) > 0)
			str_append_c(dest, ' ');
		str_append(dest, flag_names[i].name);
	}
	if (str_len(dest) > 0 && *keywords != '\0')
		str_append_c(dest, ' ');
	str_append(dest, keywords);
}

static struct flag_group *
flag_group_get(struct flag_changes *changes, bool set,
	       const struct flag_change *change)
{
	struct flag_group *const *groups, *group;
	unsigned int i, count;

	groups = array_get(&changes->groups, &count);
	for (i = 0; i < count && i < GROUPS_SEARCHED; i++) {
		group = groups[count - 1 - i];
		if (group->set == set && group->flags == change->flags &&
		    strcmp(group->keywords, str_c(change->keywords)) == 0)
			return group;
	}

	group = p_new(changes->pool, struct flag_group, 1);
	group->set = set;
	group->flags = change->flags;
	group->keywords = p_strdup(changes->pool, str_c(change->keywords));
	p_array_init(&group->uids, changes->pool, 4);
	array_push_back(&changes->groups, &group);
	return group;
}

static void
flag_change_finish(struct flag_changes *changes, bool set,
		   struct flag_change *change)
{
	struct flag_group *group;

	if (change->flags == 0 && str_len(change->keywords) == 0)
		return;
	group = flag_group_get(changes, set, change);
	seq_range_array_add(&group->uids, changes->uid);
	change->flags = 0;
	str_truncate(change->keywords, 0);
}

static void flag_changes_finish(struct flag_changes *changes)
{
	if (changes->uid == 0)
		return;
	flag_change_finish(changes, TRUE, &changes->set);
	flag_change_finish(changes, FALSE, &changes->cleared);
	changes->uid = 0;
	changes->have_keywords = FALSE;
}

static void flag_changes_start(struct flag_changes *changes, uint32_t uid)
{
	if (changes->uid == uid)
		return;
	flag_changes_finish(changes);
	changes->uid = uid;
}

void flag_changes_add_flags(struct flag_changes *changes, uint32_t uid,
			    enum mail_flags set, enum mail_flags cleared)
{
	enum mail_flags undone;

	flag_changes_start(changes, uid);
	undone = (set & changes->cleared.flags) |
		(cleared & changes->set.flags);
	changes->set.flags = (changes->set.flags | set) & ~undone;
	changes->cleared.flags = (changes->cleared.flags | cleared) & ~undone;
}

/* A client may give a message thousands of keywords: to search a list for each
   of another must not become the square of that. */
static void
keywords_append_missing(string_t *dest, const char *const *keywords,
			const char *const *others)
{
	unsigned int count = str_array_length(others);
	const char **sorted = t_new(const char *, count + 1);

	memcpy(sorted, others, sizeof(*sorted) * count);
	i_qsort(sorted, count, sizeof(*sorted), i_strcmp_p);
	for (; *keywords != NULL; keywords++) {
		if (i_bsearch(keywords, sorted, count, sizeof(*sorted),
			      i_strcmp_p) != NULL)
			continue;
		if (str_len(dest) > 0)
			str_append_c(dest, ' ');
		str_append(dest, *keywords);
	}
}

void flag_changes_add_keywords(struct flag_changes *changes, uint32_t uid,
			       const char *const *old_keywords,
			       const char *const *new_keywords)
{
	/* Keywords that change twice are told twice. */
	if (changes->have_keywords)
		flag_changes_finish(changes);
	flag_changes_start(changes, uid);
	changes->have_keywords = TRUE;
	T_BEGIN {
		keywords_append_missing(changes->set.keywords,
					new_keywords, old_keywords);
		keywords_append_missing(changes->cleared.keywords,
					old_keywords, new_keywords);
	} T_END;
}

static void
flag_group_write_as(const struct flag_group *group, struct record_batch *batch,
		    const struct record *rec, bool with_uids)
{
	if (with_uids)
		record_add_set(batch, rec, &group->uids);
	else
		record_add(batch, rec);
}

static void
flag_group_write(const struct flag_group *group, struct record_batch *batch,
		 const struct record *common, bool with_uids)
{
	struct record rec = *common;
	string_t *flags = t_str_new(64);
	const char *keywords = group->keywords;
	size_t len;

	flags_append(flags, group->flags, "");
	rec.event = group->set ? "FlagsSet" : "FlagsClear";
	do {
		len = strlen(keywords);
		if (len > FLAGS_MAX_SIZE) {
			len = FLAGS_MAX_SIZE;
			while (len > 0 && keywords[len] != ' ')
				len--;
			if (len == 0)
				break;
		}
		if (str_len(flags) > 0 && len > 0)
			str_append_c(flags, ' ');
		str_append_data(flags, keywords, len);
		rec.flags = str_c(flags);
		flag_group_write_as(group, batch, &rec, with_uids);
		str_truncate(flags, 0);
		keywords += len;
		if (*keywords == ' ')
			keywords++;
	} while (*keywords != '\0');

	/* RFC 5423 has these two beside FlagsSet. */
	rec.flags = NULL;
	if (group->set && (group->flags & MAIL_SEEN) != 0) {
		rec.event = "MessageRead";
		flag_group_write_as(group, batch, &rec, with_uids);
	}
	if (group->set && (group->flags & MAIL_DELETED) != 0) {
		rec.event = "MessageTrash";
		flag_group_write_as(group, batch, &rec, with_uids);
	}
}

void flag_changes_write(struct flag_changes *changes,
			struct record_batch *batch, const struct record *rec,
			bool with_uids)
{
	struct flag_group *const *groups;
	unsigned int i, count;

	flag_changes_finish(changes);
	groups = array_get(&changes->groups, &count);
	for (i = 0; i < count; i++) T_BEGIN {
		flag_group_write(groups[i], batch, rec, with_uids);
	} T_END;
}
