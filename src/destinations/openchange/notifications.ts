import type { MailboxEvent } from "../../event.ts";
import { uidsOf } from "../../sequence-set.ts";
import { emlName, type NewMail } from "./codec/newmail.ts";

/**
 * The notifications of an event, one per message in the order of its UIDs, made as they are asked for: an event about
 * 50,000 messages needs no more memory than one about two. A message without a UID cannot be named, so it has none.
 * @param backend the mapistore backend where the event names none
 */
export function* notificationsOf(event: MailboxEvent, backend: string): Generator<NewMail, void> {
  if (!("uids" in event) || event.uids === undefined) return;
  const common = { backend: event.backend ?? backend, folder: event.mailbox, separator: event.sep };
  for (const uid of uidsOf(event.uids)) yield { ...common, eml: emlName(uid) };
}
