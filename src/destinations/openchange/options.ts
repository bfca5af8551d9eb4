import {
  booleanOption,
  choiceOption,
  durationOption,
  durationOrNeverOption,
  listOption,
  numberOption,
  textOption,
  textSchema,
  waitOption,
} from "../../delivery/options.ts";
import { messageEvents } from "../../delivery/common-options.ts";

const CONFIGURATION_STRING = "libmemcached configuration string";

/** What stands in ocnotify.yaml for a destination of type `openchange`. */
export const options = {
  resolver: textOption(
    "--SERVER=127.0.0.1:11211",
    "Where servers register, for users for whom Dovecot's configuration has no `openchange_resolver`.",
    CONFIGURATION_STRING,
  ),
  resolvers: listOption(
    {
      schema: textSchema,
      type: "list of configuration strings",
      expected: "a list of libmemcached configuration strings",
    },
    [],
    "Further strings that an `openchange_resolver` may be, to the letter. Only for sites whose users deliver under uids of their own, with more than a few such strings: see [users of the system](operations.md#users-of-the-system).",
  ),
  cn: choiceOption(
    ["username", "email"],
    "username",
    "The name that is looked up, without an `openchange_cn`: what is before the `@`, or the whole.",
  ),
  backend: textOption("sogo", "The mapistore backend, without an `openchange_backend`."),
  charset: textOption(
    "cp850",
    "The `dos charset` in the servers' smb.conf. It matters for a `backend`, and a server's address, with other than ASCII characters; folders are named in modified UTF-7, which is ASCII. Samba refuses utf8.",
    "name of a character set",
  ),
  new_mail_events: listOption(
    messageEvents,
    ["MessageNew"],
    "Which events are told as new mail, which is all that a server without the extension understands. MessageNew is a delivery. With MessageAppend, MessageCopy or MessageMove, Outlook announces as new what a user saves, copies or moves in another client.",
  ),
  extended: booleanOption(
    false,
    "Whether deletions, changes, moves and copies are told, too. Only when every server knows the extension.",
  ),
  time_to_live: durationOption(
    "10m",
    "A notification that could not be sent for this long is dropped: who looks then sees the mail anyway.",
  ),
  restart_grace: durationOption(
    "30s",
    "How long after the start of a memcached a user who is not found there is looked up again, each second: receivers need that long to register again. `createListener` takes 10 s at most, and twice that when one attempt fails; longer only where receivers look less often. `0s`: not found is not found. The uptime of memcached is up to 3 s ahead.",
  ),
  remove_refused_after: durationOrNeverOption(
    "10m",
    "A server that has refused every connection for this long is taken out of the resolver. Nothing listens there, so its sessions have ended; an OpenChange server registers again when Outlook connects again, and hears nothing before. `never` where something else may refuse for it, such as a firewall; the dead are then tried for each notification until that expires.",
  ),
  connect_timeout: waitOption("5s", "How long a server may take to accept a connection."),
  stall_timeout: waitOption("30s", "How long a server may read nothing before the connection is made anew."),
  idle_timeout: waitOption("60s", "A connection over which nothing was sent for this long is closed."),
  max_connections: numberOption(
    [1, 65_535],
    16_384,
    "Connections open at once, at 7 KB each. With more hosts that have something to be told, those with nothing to send make room for the others, which wait for a second or so. All destinations together get the limit of open files (`LimitNOFILE`) less 256; a log line at the start says when that is less.",
  ),
  retry_first: waitOption(
    "200ms",
    "The first wait after a server could not be reached. It doubles each time, up to `retry_most`.",
  ),
  retry_most: waitOption("10s", "The longest wait between two attempts."),
};
