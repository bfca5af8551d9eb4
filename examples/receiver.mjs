// Shows a user's new mail, in the place of an OpenChange server: node receiver.mjs jdoe "--SERVER=127.0.0.1:11211"
import { createListener } from "ocnotify";

const [user = "jdoe", resolver = "--SERVER=127.0.0.1:11211"] = process.argv.slice(2);

const listener = await createListener({
  users: [user],
  resolver,
  bind: "tcp://127.0.0.1:0",
  onError: (error) => console.error(error.message),
});
process.once("SIGINT", () => void listener.close());
console.log(`${user} is registered at ${listener.registered}; Ctrl-C ends`);

for await (const notification of listener) {
  if (notification.type === "NewMail") {
    console.log(`new mail ${notification.eml} in ${notification.folder || "Inbox"}`);
  }
}
