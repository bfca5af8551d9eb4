import type { Option } from "commander";

/**
 * A command line that popt(3) would read, as commander reads the same: the value of an option may follow its letter, with or
 * without `=`, and an option that lacks its value at the end is none.
 */
export function fromPopt(args: readonly string[], options: readonly Option[]): string[] {
  const read: string[] = [];
  const rest = [...args];
  const push = (option: Option, value = rest.shift()): void => {
    if (value !== undefined) read.push(`${option.long}=${value}`);
  };
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") return [...read, arg, ...rest];
    const long = options.find((option) => option.long === arg && option.required);
    if (long !== undefined) push(long);
    else if (/^-[^-]/.test(arg)) readLetters(arg, options, push, read);
    else read.push(arg);
  }
  return read;
}

/** `-vn7`: options without a value, then perhaps one with its value. */
function readLetters(
  arg: string,
  options: readonly Option[],
  push: (option: Option, value?: string) => void,
  read: string[],
): void {
  for (let at = 1; at < arg.length; at++) {
    const letter = `-${arg[at]}`;
    const option = options.find(({ short, required }) => required && short === letter);
    if (option !== undefined) {
      const value = arg.slice(at + 1);
      push(option, value === "" ? undefined : value.replace(/^=/, ""));
      return;
    }
    read.push(letter);
  }
}

/** How popt's help shows an option: `-U, --username=STRING`. */
export function poptTerm({ short, long, required }: Option): string {
  return `${short === undefined ? "   " : `${short},`} ${long}${required ? "=STRING" : ""}`;
}

const WIDTH = 79;

/** What `--usage` prints: the options alone. */
export function poptUsage(name: string, options: readonly Option[]): string {
  const letters = options.flatMap(({ short, required }) => (required ? [] : (short?.slice(1) ?? [])));
  const terms = options.map(({ short, long, required }) => {
    const value = required ? "=STRING" : "";
    return short === undefined ? `[${long}${value}]` : `[${short}|${long}${value}]`;
  });
  const lines = [`Usage: ${name}`];
  for (const term of [`[-${letters.join("")}]`, ...terms]) {
    const line = lines.at(-1) ?? "";
    if (line.length + 1 + term.length > WIDTH) lines.push(`        ${term}`);
    else lines.splice(-1, 1, `${line} ${term}`);
  }
  return `${lines.join("\n")}\n`;
}
