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
  const wantsUser = users && globs(users, "i");
  const wantsMailbox = mailboxes && globs(mailboxes, "");
  return (event) =>
    (wantsEvent?.has(event.event) ?? true) &&
    (wantsUser?.test(event.user) ?? true) &&
    (wantsMailbox === undefined ||
      wantsMailbox.test(event.mailbox) ||
      ("oldMailbox" in event && wantsMailbox.test(event.oldMailbox)));
}

/** `*` stands for any characters, separators too, `?` for one; everything else for itself. */
function globs(patterns: readonly string[], flags: string): RegExp {
  const alternatives = patterns.map((pattern) =>
    pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, (char) => (char === "*" ? ".*" : char === "?" ? "." : `\\${char}`)),
  );
  return new RegExp(`^(?:${alternatives.join("|")})$`, `su${flags}`);
}
