import { readFileSync } from "node:fs";
import { parseConfigString } from "../protocols/memcached/config-string.ts";
import { fault, ok, warning, type Finding } from "./finding.ts";

const EVENTS =
  "save copy delete undelete expunge flag_change mailbox_create mailbox_delete mailbox_rename mailbox_subscribe mailbox_unsubscribe";
const FIELDS = "uid box msgid size from subject flags snippet";
/** Settings that may be written as `ocnotify_*` and as `openchange_*`, and those that are `openchange_*` only. */
const WITH_TWO_NAMES = ["journal", "events", "fields"] as const;
const ORIGINAL = ["resolver", "cn", "backend"] as const;
const KNOWN = [
  ...WITH_TWO_NAMES.flatMap((setting) => [`ocnotify_${setting}`, `openchange_${setting}`]),
  ...ORIGINAL.map((setting) => `openchange_${setting}`),
];

/** The plugin's settings under their names, as far as Dovecot's configuration sets them for everybody. */
export type DovecotSettings = Readonly<Record<string, string>>;

/** @param changed what `doveconf -n` prints */
export function dovecotSettings(changed: string, is24: boolean): DovecotSettings {
  // 2.3 has them in plugin { }.
  const form = is24 ? /^((?:ocnotify|openchange)_\w+) = (.*)$/gm : /^ {2}((?:ocnotify|openchange)_\w+) = (.*)$/gm;
  return Object.fromEntries([...changed.matchAll(form)].map(([, name = "", value = ""]) => [name, value]));
}

/** The setting that the plugin goes by, under the name that is written: `ocnotify_*` goes before `openchange_*`. */
export function settingInEffect(
  settings: DovecotSettings,
  setting: (typeof WITH_TWO_NAMES)[number],
): { name: string; value: string } {
  const [ours, originals] = [`ocnotify_${setting}`, `openchange_${setting}`];
  const name = (settings[ours] ?? "") === "" && (settings[originals] ?? "") !== "" ? originals : ours;
  return { name, value: settings[name] ?? "" };
}

/** @param journal the journal that the daemon reads */
export function checkSettings(settings: DovecotSettings, journal: string): Finding[] {
  const findings: Finding[] = [];
  const wrong = (name: string, why: string): void => {
    findings.push(fault("settings", `${name} = ${settings[name]}: ${why}`, "correct it in Dovecot's configuration"));
  };
  for (const name of Object.keys(settings).filter((each) => !KNOWN.includes(each))) {
    const original = name.replace("ocnotify_", "openchange_");
    const remedy = KNOWN.includes(original) ? `write ${original}` : `correct its name, one of ${KNOWN.join(", ")}`;
    findings.push(
      warning("settings", `${name} = ${settings[name]}: the plugin has no setting of that name and ignores it`, remedy),
    );
  }
  const { openchange_cn: cn = "", openchange_resolver: resolver = "" } = settings;
  if (!["", "username", "email"].includes(cn)) wrong("openchange_cn", "must be username or email");
  const events = settingInEffect(settings, "events");
  const fields = settingInEffect(settings, "fields");
  for (const [{ name, value }, words] of [
    [events, EVENTS],
    [fields, FIELDS],
  ] as const) {
    const strange = wordsOf(value).find((word) => !words.split(" ").includes(word));
    if (strange !== undefined) wrong(name, `"${strange}" is none of: ${words}`);
  }
  const chosen = wordsOf(fields.value);
  if (chosen.length > 0 && !chosen.includes("uid")) {
    findings.push(
      warning(
        "settings",
        `${fields.name} = ${chosen.join(" ")} has no uid: a server is told of no message, since it could not be named`,
        `add uid to ${fields.name} in Dovecot's configuration`,
      ),
    );
  }
  if (resolver !== "") {
    try {
      parseConfigString(resolver, { readFile: (path) => readFileSync(path, "utf8") });
    } catch (error) {
      wrong("openchange_resolver", (error as Error).message);
    }
  }
  const directory = settingInEffect(settings, "journal");
  if (directory.value !== "" && !directory.value.startsWith("/")) wrong(directory.name, "must be an absolute path");
  else if (directory.value !== "" && directory.value !== journal) {
    wrong(directory.name, `the daemon reads ${journal} (journal.directory in its configuration)`);
  }
  if (findings.length === 0) {
    const set = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    findings.push(
      ok("settings", set.length === 0 ? "all ocnotify_* and openchange_* have their defaults" : set.join(", ")),
    );
  }
  return findings;
}

const wordsOf = (value: string): string[] => value.split(/[ ,\t]+/).filter((word) => word !== "");
