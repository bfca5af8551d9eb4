import type { EventName, MailboxEvent } from "./event.ts";

/**
 * Each a list of what passes, all when undefined. An entry with `!` before it excludes: with such entries alone all
 * others pass, and what one excludes does not pass whatever else is listed.
 */
export interface Filter {
  readonly events?: readonly (EventName | `!${EventName}`)[] | undefined;
  /** Patterns, as the others: `*` stands for any characters, separators too, `?` for one. */
  readonly users?: readonly string[] | undefined;
  readonly mailboxes?: readonly string[] | undefined;
  readonly services?: readonly string[] | undefined;
}

/**
 * Which of the filters leaves an event out; undefined when it passes all. It is judged by the mailbox of which receivers would be notified: after a move, a
 * copy or a rename the one that is named then, never the one before.
 */
export function eventFilter({
  events,
  users,
  mailboxes,
  services,
}: Filter): (event: MailboxEvent) => keyof Filter | undefined {
  const wantsEvent = events && listed(events);
  const wantsUser = users && listed(users.map((user) => user.toLowerCase()));
  const wantsMailbox = mailboxes && listed(mailboxes);
  const wantsService = services && listed(services);
  return (event) => {
    if (wantsEvent?.(event.event) === false) return "events";
    if (wantsUser?.(event.user.toLowerCase()) === false) return "users";
    if (wantsMailbox?.(event.mailbox) === false) return "mailboxes";
    return wantsService?.(event.service ?? "") === false ? "services" : undefined;
  };
}

function listed(entries: readonly string[]): (text: string) => boolean {
  const included = entries.filter((entry) => !entry.startsWith("!"));
  const isIncluded = globs(included);
  if (included.length === entries.length) return isIncluded;
  const excludes = entries.filter((entry) => entry.startsWith("!"));
  const isExcluded = globs(excludes.map((entry) => entry.slice(1)));
  return included.length === 0 ? (text) => !isExcluded(text) : (text) => isIncluded(text) && !isExcluded(text);
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
