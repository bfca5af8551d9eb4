// What an OpenChange server does with notifications, without the MAPI: a session of a user subscribes to what Outlook would,
// and each notification is printed with the handles of the subscriptions that asked for it.
//
//   node openchange-server.mjs jdoe "--SERVER=127.0.0.1:11211"
//
// Deletions, flags, moves and copies come only when the daemon has "extended: true" for its destination.
import { createListener, notificationFlags as flags } from "ocnotify";

const [user = "jdoe", resolver = "--SERVER=127.0.0.1:11211"] = process.argv.slice(2);

/** The server's ids of the user's folders. A real server looks them up; a name may be in modified UTF-7 (RFC 3501 §5.1.3). */
const folderIds = new Map([
  ["INBOX", "0000000000000001"],
  ["Archive", "0000000000000002"],
]);

const listener = await createListener({
  users: [user],
  resolver,
  subscriptions: true,
  folderId: ({ folder }) => folderIds.get(folder || "INBOX"),
  onError: (error) => console.error(error.message),
});
process.once("SIGINT", () => void listener.close());

const session = await listener.openSession();
// As RopRegisterNotification asks for it: new mail in the whole mailbox …
await session.subscribe({ handle: 1, flags: flags.WholeStore | flags.NewMail });
// … and what happens to the messages of one folder.
await session.subscribe({
  handle: 2,
  flags: flags.ObjectDeleted | flags.ObjectModified | flags.ObjectMoved,
  fid: folderIds.get("INBOX"),
});
console.log(`${user} is registered at ${listener.registered}, session ${session.guid}; Ctrl-C ends`);

for await (const { type, eml, folder, subscriptions, ...rest } of listener) {
  const handles = subscriptions.map(({ handle }) => handle).join(", ");
  const from = "oldFolder" in rest ? ` from ${rest.oldEml} in ${rest.oldFolder}` : "";
  const changed = "flagsSet" in rest ? ` +[${rest.flagsSet.join(" ")}] -[${rest.flagsCleared.join(" ")}]` : "";
  console.log(`handle ${handles}: ${type} ${eml} in ${folder}${from}${changed}`);
}
