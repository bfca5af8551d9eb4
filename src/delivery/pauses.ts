import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { replaceFile } from "../atomic-file.ts";
import { OcnotifyError } from "../errors.ts";
import type { DestinationState } from "./state.ts";

const pause = v.object({ since: v.pipe(v.string(), v.isoTimestamp()), by: v.exactOptional(v.string()) });
const PauseFile = v.object({
  version: v.literal(1),
  // To valibot a list is a record, of its indexes.
  paused: v.pipe(
    v.custom<object>((input) => !Array.isArray(input), "names, and not a list"),
    v.record(v.string(), pause),
  ),
});

/** When a destination was paused, and by whom if that is known. */
export type Pause = v.InferOutput<typeof pause>;

export function pausedState(pause: Pause): DestinationState {
  return { name: "paused", ...pause };
}

/** Which destinations the operator has paused: a file, because that survives a restart. */
export class Pauses {
  readonly #path: string;
  #pauses: ReadonlyMap<string, Pause>;

  private constructor(path: string, pauses: ReadonlyMap<string, Pause>) {
    this.#path = path;
    this.#pauses = pauses;
  }

  /**
   * None is paused where there is no file.
   * @throws OcnotifyError ERR_PAUSES for a file that cannot be used
   */
  static async load(path: string): Promise<Pauses> {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Pauses(path, new Map());
      throw fault(path, "cannot be read", error);
    }
    try {
      return new Pauses(path, new Map(Object.entries(v.parse(PauseFile, JSON.parse(text)).paused)));
    } catch (error) {
      throw fault(path, "is not a list of pauses of version 1", error);
    }
  }

  get(destination: string): Pause | undefined {
    return this.#pauses.get(destination);
  }

  /**
   * In effect when it is on disk.
   * @param pause undefined: it is paused no more
   * @throws OcnotifyError ERR_PAUSES_SAVE, which may go away by itself (a full disk); then nothing has changed
   */
  async set(destination: string, pause: Pause | undefined): Promise<void> {
    const pauses = new Map(this.#pauses);
    if (pause === undefined) pauses.delete(destination);
    else pauses.set(destination, pause);
    try {
      await replaceFile(this.#path, `${JSON.stringify({ version: 1, paused: Object.fromEntries(pauses) })}\n`);
    } catch (error) {
      const message = `cannot save ${this.#path}: ${(error as Error).message}. Nothing is changed; try again`;
      throw new OcnotifyError("ERR_PAUSES_SAVE", message, { cause: error, canRetry: true });
    }
    this.#pauses = pauses;
  }
}

function fault(path: string, what: string, cause: unknown): OcnotifyError {
  return new OcnotifyError(
    "ERR_PAUSES",
    `${path}, which says what is paused, ${what}: ${(cause as Error).message}. Delete it and start the daemon: then nothing is paused; ocnotify pause makes it anew`,
    { cause },
  );
}
