import type { EventName, MailboxEvent } from "./event.ts";

export interface Filter {
  /** Undefined for all. */
  readonly events?: readonly EventName[] | undefined;
  /** Globs, undefined for all. */
  readonly users?: readonly string[] | undefined;
  readonly mailboxes?: readonly string[] | undefined;
}

/** Whether an event passes a filter. A rename passes when either name does. */
export function eventFilter({ events, users, mailboxes }: Filter): (event: MailboxEvent) => boolean {
  const wantsEvent = events && new Set(events);
  const wantsUser = users && globs(users.map((user) => user.toLowerCase()));
  const wantsMailbox = mailboxes && globs(mailboxes);
  return (event) =>
    (wantsEvent?.has(event.event) ?? true) &&
    (wantsUser?.(event.user.toLowerCase()) ?? true) &&
    (wantsMailbox === undefined ||
      wantsMailbox(event.mailbox) ||
      ("oldMailbox" in event && wantsMailbox(event.oldMailbox)));
}

/** `*` stands for any characters, separators too, `?` for one; everything else for itself. */
function globs(patterns: readonly string[]): (text: string) => boolean {
  const names = new Set(patterns.filter((pattern) => !/[*?]/.test(pattern)));
  const wild = patterns.filter((pattern) => !names.has(pattern)).map((pattern) => Array.from(pattern));
  return (text) => {
    if (names.has(text)) return true;
    if (wild.length === 0) return false;
    const characters = Array.from(text);
    return wild.some((pattern) => matches(pattern, characters));
  };
}

/**
 * Users name their mailboxes as they like, so this must not be a RegExp: `*a*a*b` against many a's would take hours.
 * When a later character does not fit, only the last `*` has to take one more.
 */
function matches(pattern: readonly string[], text: readonly string[]): boolean {
  let inPattern = 0;
  let star = -1;
  let taken = 0;
  for (let at = 0; at < text.length;) {
    const wanted = pattern[inPattern];
    if (wanted === "*") {
      star = inPattern++;
      taken = at;
    } else if (wanted === "?" || wanted === text[at]) {
      inPattern++;
      at++;
    } else if (star !== -1) {
      inPattern = star + 1;
      at = ++taken;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === "*") inPattern++;
  return inPattern === pattern.length;
}
