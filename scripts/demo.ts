// What ocnotify does, shown on real parts that are started for it: `make demo`.
import { deliverLda, lmtpDeliver, mail, startDovecot } from "../test/helpers/dovecot.ts";
import { startMemcached } from "../test/helpers/memcached.ts";
import { startDaemon, startListener, stateDirOf, type RunningListener } from "../test/helpers/ocnotify.ts";
import { waitFor } from "../test/helpers/wait.ts";

const USER = "jdoe@example.com";
const cleanUp: (() => Promise<unknown>)[] = [];
let step = 0;

function say(text: string): void {
  step++;
  process.stdout.write(`${step}. ${text}\n`);
}

async function main(): Promise<boolean> {
  const memcached = await startMemcached();
  cleanUp.push(() => memcached.stop());
  say(`memcached runs on port ${memcached.port}: the resolver, where servers say whose mailbox they show`);

  const plugins = ["notify", "ocnotify"];
  const dovecot = await startDovecot({
    users: [USER],
    protocols: ["lmtp"],
    protocolPlugins: { lda: plugins, lmtp: plugins },
    settings: { openchange_resolver: memcached.config, openchange_cn: "email" },
  });
  cleanUp.push(() => dovecot.remove());
  say(`Dovecot runs with "mail_plugins = notify ocnotify", in a folder of its own: ${dovecot.folder}`);

  const mailUser = process.getuid?.() === 0 ? ["--mail-user", "nobody"] : [];
  const daemon = await startDaemon({
    journal: dovecot.journalDir,
    stateDir: stateDirOf(dovecot.folder),
    args: mailUser,
  });
  cleanUp.push(() => daemon.stop());
  say(`ocnotify run: the daemon reads the journal in which the plugin records each change`);

  const listener = await startListener(USER, memcached.config);
  cleanUp.push(() => listener.stop());
  say(`ocnotify listen: a receiver, as an OpenChange server is one, has registered for ${USER}`);

  const delivered = [
    await deliver("dovecot-lda", listener, async () => {
      const { code, stderr } = await deliverLda(dovecot, { user: USER, mail: mail("by LDA", "<1@example.com>") });
      return code === 0 ? "" : stderr;
    }),
    await deliver("LMTP", listener, async () => {
      const [reply] = await lmtpDeliver(dovecot, [{ to: [USER], mail: mail("by LMTP", "<2@example.com>") }]);
      return reply?.startsWith("250") === true ? "" : (reply ?? "no reply");
    }),
  ].filter(Boolean).length;
  process.stdout.write(`demo: delivered ${delivered}, notified ${listener.received.length}\n`);
  return delivered === 2 && listener.received.length === 2;
}

/** Delivers one mail and tells how long its notification took. @returns whether the mail was delivered */
async function deliver(how: string, listener: RunningListener, run: () => Promise<string>): Promise<boolean> {
  const before = listener.received.length;
  const fault = await run();
  const end = Date.now();
  if (fault !== "") {
    say(`${how} failed: ${fault}`);
    return false;
  }
  await waitFor("the notification", () => listener.received.length > before).catch(() => undefined);
  const notification = listener.received[before];
  if (notification === undefined) {
    say(`${how} delivered a mail, but no notification came`);
  } else {
    // Each side reads the clock when it hears of its end, so a notification can be first.
    const took = notification.at - end;
    const when = took < 0 ? `${-took} ms before ${how} had ended` : `${took} ms after ${how} had ended`;
    say(
      `${how} delivered a mail; the receiver has ${notification.type} ${notification.eml} in ${notification.folder}, ${when}`,
    );
  }
  return true;
}

let agreed = false;
try {
  agreed = await main();
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\n`);
} finally {
  for (const undo of cleanUp.toReversed()) await undo();
}
process.exitCode = agreed ? 0 : 1;
