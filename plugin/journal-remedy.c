#include "compat.h"
#include "restrict-access.h"
#include "journal-remedy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the kernel calls this process: a profile or a context. */
#define LABEL_PATH "/proc/self/attr/current"
#define LABEL_MAX_SIZE 256

/* Of rwx. */
#define MAY_WRITE 2
#define MAY_SEARCH 1

const char *journal_remedy_missing(const char *dir)
{
	const char *root = restrict_access_get_current_chroot();

	if (root != NULL) {
		return t_strdup_printf(
			"does not exist in the chroot %s of this process "
			"(mail_chroot, or chroot or home in the userdb); mount "
			"it there (mkdir -p %s%s && mount --bind %s %s%s)",
			root, root, dir, dir, root, dir);
	}
	return t_strdup_printf(
		"does not exist; create it: install -d -o ocnotify "
		"-g ocnotify -m 3733 %s. If it is there, this process sees "
		"another file system: a container's, or what systemd's "
		"ProtectHome=, PrivateTmp= or TemporaryFileSystem= leave it",
		dir);
}

const char *journal_remedy_read_only(const char *dir)
{
	return t_strdup_printf(
		"The file system is read-only; remount it, or name a directory "
		"that can be written. If only Dovecot sees it so, it is "
		"systemd's ProtectSystem= or ReadOnlyPaths=; then put "
		"ReadWritePaths=%s below [Service] with systemctl edit dovecot",
		dir);
}

static bool process_has_group(gid_t gid)
{
	gid_t *gids;
	int i, count;

	if (gid == getegid())
		return TRUE;
	count = getgroups(0, NULL);
	if (count <= 0)
		return FALSE;
	gids = t_new(gid_t, count);
	count = getgroups(count, gids);
	for (i = 0; i < count; i++) {
		if (gids[i] == gid)
			return TRUE;
	}
	return FALSE;
}

static bool mode_allows(const struct stat *st, unsigned int wanted)
{
	unsigned int shift = 0;

	if (geteuid() == 0)
		return TRUE;
	if (st->st_uid == geteuid())
		shift = 6;
	else if (process_has_group(st->st_gid))
		shift = 3;
	return ((st->st_mode >> shift) & wanted) == wanted;
}

/* The name of a profile of AppArmor ("/usr/lib/dovecot/lmtp (enforce)") or a
   context of SELinux ("system_u:system_r:dovecot_t:s0"), NULL if this process
   has none. */
static const char *process_label(void)
{
	char label[LABEL_MAX_SIZE];
	ssize_t ret;
	int fd;

	fd = open(LABEL_PATH, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return NULL;
	ret = read(fd, label, sizeof(label) - 1);
	i_close_fd(&fd);
	if (ret <= 0)
		return NULL;
	label[ret] = '\0';
	label[strcspn(label, "\n")] = '\0';
	if (*label == '\0' || strcmp(label, "unconfined") == 0)
		return NULL;
	return t_strdup(label);
}

static const char *journal_remedy_confined(const char *dir)
{
	const char *label = process_label();

	if (label == NULL) {
		return t_strdup_printf(
			"its modes allow it, so something else refuses: "
			"AppArmor or SELinux (dmesg, ausearch -m avc), an ACL "
			"or attribute (getfacl %s, lsattr -d %s), or systemd's "
			"InaccessiblePaths= for Dovecot", dir, dir);
	}
	if (strchr(label, '(') != NULL) {
		return t_strdup_printf(
			"its modes allow it, so it is this process's AppArmor "
			"profile %s; add the line \"%s/*.ndjson w,\" to it and "
			"load it with apparmor_parser -r", label, dir);
	}
	return t_strdup_printf(
		"its modes allow it, so it is SELinux, where this process is "
		"%s (ausearch -m avc shows what was refused); give the "
		"directory a type that Dovecot may write to (semanage fcontext "
		"-a -t mail_spool_t '%s(/.*)?' && restorecon -R %s)",
		label, dir, dir);
}

const char *journal_remedy_access(const char *dir)
{
	const char *root = restrict_access_get_current_chroot();
	const char *shown = t_strconcat(root == NULL ? "" : root, dir, NULL);
	const char *path = dir, *p;
	struct stat st;

	i_zero(&st);
	if (stat(dir, &st) == 0) {
		if (mode_allows(&st, MAY_WRITE | MAY_SEARCH))
			return journal_remedy_confined(shown);
		return t_strdup_printf(
			"the directory needs mode 3733 (chmod 3733 %s)",
			shown);
	}
	/* It cannot even be looked at: up to the first parent that can. */
	do {
		p = strrchr(path, '/');
		path = p == path ? "/" : t_strdup_until(path, p);
	} while (stat(path, &st) < 0 && path[1] != '\0');
	if (mode_allows(&st, MAY_SEARCH))
		return journal_remedy_confined(shown);
	return t_strdup_printf(
		"everybody must be able to search its parents (chmod o+x %s%s)",
		root == NULL ? "" : root, path);
}
