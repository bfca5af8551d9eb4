import { Argument, type Command } from "commander";
import { charset, type Charset } from "../destinations/openchange/codec/charset.ts";
import { decodeNotification } from "../destinations/openchange/codec/extended.ts";
import { encodeNewMail } from "../destinations/openchange/codec/newmail.ts";
import { decodeResolverRecord, encodeResolverRecord } from "../destinations/openchange/codec/resolver-record.ts";
import { decodeSession, encodeSession } from "../destinations/openchange/codec/session.ts";
import { decodeSubscriptions } from "../destinations/openchange/codec/subscription.ts";
import { OcnotifyError } from "../errors.ts";
import { json } from "../printable.ts";
import { parseAddress } from "../protocols/sp/address.ts";
import { charsetOption, checkSeparator, example } from "./options.ts";

const DECODERS = {
  newmail: (bytes: Buffer, strings: Charset): unknown => decodeNotification(bytes, strings),
  resolver: (bytes: Buffer, strings: Charset): unknown => ({ hosts: decodeResolverRecord(bytes, strings) }),
  session: (bytes: Buffer, strings: Charset): unknown => decodeSession(bytes, strings),
  subscription: (bytes: Buffer): unknown => ({ subscriptions: decodeSubscriptions(bytes) }),
} as const;

type Kind = keyof typeof DECODERS;

/** No record is longer than this many hexadecimal digits: memcached's largest value, twice. */
const MAX_DIGITS = 16 * 1024 * 1024;

export function addDecode(program: Command): void {
  program
    .command("decode")
    .description("prints the bytes of a record or a notification as JSON")
    .addArgument(new Argument("<kind>", "what they are").choices(Object.keys(DECODERS)))
    .argument("<hex>", "the bytes in hexadecimal; - reads them from stdin")
    .addOption(charsetOption())
    .addHelpText(
      "after",
      example("ocnotify decode resolver 0101000000010000007463703a2f2f3132372e302e302e313a3530303000"),
    )
    .action(async (kind: Kind, hex: string, options: { charset: string }) => {
      const bytes = parseHex(hex === "-" ? await readStdin() : hex);
      const decoded = DECODERS[kind](bytes, charset(options.charset));
      process.stdout.write(`${json(decoded)}\n`);
    });
}

export function addEncode(program: Command): void {
  const encode = program.command("encode").description("prints a record or a notification in hexadecimal");
  encode.addHelpText("after", example("ocnotify encode resolver tcp://10.0.0.5:49152"));
  encode
    .command("newmail")
    .description("the payload that tells of a new message")
    .requiredOption("-n, --newmail <eml>", "the message, as <uid>.eml")
    .option("-b, --backend <name>", "mapistore backend", "sogo")
    .option("--dstfolder <folder>", "folder in which the message is", "INBOX")
    .option("--sep <character>", "hierarchy separator of the folder's name", "/")
    .addOption(charsetOption())
    .addHelpText("after", example("ocnotify encode newmail --newmail 1.eml"))
    .action((options: { newmail: string; backend: string; dstfolder: string; sep: string; charset: string }) => {
      const { newmail: eml, backend, dstfolder: folder, sep: separator } = options;
      checkSeparator(separator);
      print(encodeNewMail({ eml, backend, folder, separator }, charset(options.charset)));
    });
  encode
    .command("resolver")
    .description("the resolver's record that names these hosts")
    .argument("[host...]", "nanomsg addresses")
    .addOption(charsetOption())
    .addHelpText("after", example("ocnotify encode resolver tcp://10.0.0.5:49152"))
    .action((hosts: string[], options: { charset: string }) => {
      for (const host of hosts) parseAddress(host);
      print(encodeResolverRecord(hosts, charset(options.charset)));
    });
  encode
    .command("session")
    .description("the record of a session")
    .requiredOption("--uuid <guid>", "the session's GUID")
    .requiredOption("--cn <name>", "the user, as the resolver knows him")
    .addOption(charsetOption())
    .addHelpText("after", example("ocnotify encode session --uuid a3d7ec26-8b52-4c57-9d0f-4f2b6d1a0c11 --cn jdoe"))
    .action((options: { uuid: string; cn: string; charset: string }) => {
      print(encodeSession({ uuid: options.uuid, cn: options.cn }, charset(options.charset)));
    });
}

function print(bytes: Buffer): void {
  process.stdout.write(`${bytes.toString("hex")}\n`);
}

/** All of stdin, or as much of it as shows that it is too much. */
async function readStdin(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("latin1")) {
    text += (chunk as string).replaceAll(/\s/g, "");
    if (text.length > MAX_DIGITS) break;
  }
  return text;
}

function parseHex(text: string): Buffer {
  const digits = text.replaceAll(/\s/g, "");
  if (digits.length > MAX_DIGITS) throw new OcnotifyError("ERR_HEX", `more than ${MAX_DIGITS} hexadecimal digits`);
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null) {
    throw new OcnotifyError("ERR_HEX", `not hexadecimal: ${JSON.stringify(wrong[0])} at digit ${wrong.index}`);
  }
  if (digits.length % 2 !== 0)
    throw new OcnotifyError("ERR_HEX", `an odd number of hexadecimal digits: ${digits.length}`);
  return Buffer.from(digits, "hex");
}
