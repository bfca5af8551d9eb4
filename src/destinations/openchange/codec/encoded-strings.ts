import { OcnotifyError } from "../../../errors.ts";
import type { Spelling } from "./charset.ts";

const maxEntries = 4096;
/** Longer names are rare, and remembering them would make the bound on entries no bound on bytes. */
const maxTextLength = 512;

/**
 * Remembers how the strings of one field are spelled, NUL included, in at most 4096 entries (a few MB at worst). A string that
 * cannot be written is remembered too: a folder with such a name fails for each of its messages.
 */
export class EncodedStrings {
  readonly #spelling: Spelling;
  readonly #field: string;
  readonly #known = new Map<string, Buffer | OcnotifyError>();

  constructor(spelling: Spelling, field: string) {
    this.#spelling = spelling;
    this.#field = field;
  }

  /** The bytes of `text` with their NUL; do not change them. Throws `ERR_CHARSET`. */
  encode(text: string): Buffer {
    const result = this.#known.get(text) ?? this.#learn(text);
    if (result instanceof OcnotifyError) throw result;
    return result;
  }

  #learn(text: string): Buffer | OcnotifyError {
    const result = this.#attempt(text);
    if (text.length <= maxTextLength) {
      if (this.#known.size >= maxEntries) {
        // The oldest goes. Counting uses would cost more, on every message, than encoding a name anew now and then.
        const oldest = this.#known.keys().next();
        if (oldest.done !== true) this.#known.delete(oldest.value);
      }
      this.#known.set(text, result);
    }
    return result;
  }

  #attempt(text: string): Buffer | OcnotifyError {
    try {
      return Buffer.concat([this.#spelling.encode(text, this.#field), Buffer.alloc(1)]);
    } catch (error) {
      if (error instanceof OcnotifyError) return error;
      throw error;
    }
  }
}
