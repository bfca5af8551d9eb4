import { ImapFlow } from "imapflow";
import type { RunningDovecot } from "./dovecot.ts";

/** Logs in to a test's Dovecot. */
export async function openImap(dovecot: RunningDovecot, user: string): Promise<ImapFlow> {
  const imap = new ImapFlow({
    host: "127.0.0.1",
    port: dovecot.imapPort,
    secure: false,
    doSTARTTLS: false,
    auth: { user, pass: dovecot.password },
    logger: false,
  });
  await imap.connect();
  return imap;
}
