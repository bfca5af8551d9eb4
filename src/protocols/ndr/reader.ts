import { NdrError } from "./errors.ts";

/**
 * Reads NDR without alignment (pidl's `NDR_NOALIGN`), little endian, front to back. Every method moves past what it
 * returns and throws an `NdrError` that names the field and the offset. Nothing is allocated on the word of a count.
 */
export class NdrReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(field: string): number {
    return this.#bytes.readUInt8(this.#take(1, field));
  }

  u16(field: string): number {
    return this.#bytes.readUInt16LE(this.#take(2, field));
  }

  u32(field: string): number {
    return this.#bytes.readUInt32LE(this.#take(4, field));
  }

  u64(field: string): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8, field));
  }

  /** The next `length` bytes, as a view on the input. */
  bytes(length: number, field: string): Buffer {
    const start = this.#take(length, field);
    return this.#bytes.subarray(start, start + length);
  }

  /** The bytes up to the next NUL, without it, as a view on the input. */
  cstring(field: string): Buffer {
    const start = this.#offset;
    const nul = this.#bytes.indexOf(0, start);
    if (nul < 0) {
      throw new NdrError("ERR_NDR_TRUNCATED", start, `${field}: no NUL ends this string`);
    }
    this.#offset = nul + 1;
    return this.#bytes.subarray(start, nul);
  }

  /**
   * The count of a conformant array: it stands twice, once in front of the structure and once where the array's
   * length field is. `elementSize` is the fewest bytes an element can have, so that a count which the rest of the
   * input cannot hold fails here.
   */
  conformantCount(field: string, limit: number, elementSize: number): number {
    const start = this.#offset;
    const size = this.u32(`size of ${field}`);
    const count = this.u32(`count of ${field}`);
    if (size !== count) {
      throw new NdrError("ERR_NDR_COUNT", start, `${field}: its two counts differ, ${size} and ${count}`);
    }
    if (count > limit) {
      throw new NdrError("ERR_NDR_COUNT", start, `${field}: ${count} elements, at most ${limit} are allowed`);
    }
    if (count * elementSize > this.remaining) {
      throw new NdrError("ERR_NDR_TRUNCATED", start, `${field}: ${count} elements in ${this.remaining} bytes`);
    }
    return count;
  }

  /** Checks that the record ends here. */
  end(): void {
    if (this.remaining > 0) {
      throw new NdrError("ERR_NDR_TRAILING", this.#offset, `${this.remaining} bytes after the end of the record`);
    }
  }

  #take(length: number, field: string): number {
    const start = this.#offset;
    if (length > this.remaining) {
      throw new NdrError("ERR_NDR_TRUNCATED", start, `${field}: needs ${length} bytes, ${this.remaining} are left`);
    }
    this.#offset = start + length;
    return start;
  }
}
